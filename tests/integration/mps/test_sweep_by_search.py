"""--search end to end: a real TorchServe, measured only where the best may be."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.base.paths import ROOT
from experiments.results import read
from experiments.verdict import judge
from experiments.verdict.sentence import banners
from tests.integration.mps.test_sweep import DOOR, sweep, trials

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

# A batch takes as long as a request: more workers and larger batches are worth it.
TAKES_A_WHILE = """
import time
def handle(rows, context):
    if not rows:
        return None
    time.sleep(0.02)
    return ["ok"] * len(rows)
"""
SEARCH = ("--search", "--workers", "1,2", "--batch-size", "1,4,8", "--batch-delay", "1,5", "--runs", "2")
QUICK = ("--duration", "0.3", "--warm-up", "0.1", "--no-ceilings")
CELLS = 12


def finished(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Every trial of a search may need another server, which takes a while beside other tests."""
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=400)


def test_a_search_finds_the_fastest_without_measuring_the_rest(tmp_path: Path, own_tmp: Path) -> None:
    run = finished(sweep(tmp_path, TAKES_A_WHILE, *SEARCH, *QUICK))
    assert run.returncode == 0, run.stderr
    assert f"searching for the best of {CELLS} cells" in run.stdout
    out = tmp_path / "out"
    verdict = judge(read(out))
    assert verdict.advice is not None
    best = verdict.advice.best
    assert (best.cell.workers, best.cell.batch_size) == (2, 8)
    assert len(best.figures) >= 2
    assert verdict.searched is not None
    assert verdict.searched.next_cell is None
    measured = {(trial["workers"], trial["batch_size"], trial["batch_delay_ms"]) for trial in trials(out)}
    never = CELLS - len(measured)
    assert never > CELLS / 3
    told = f"{never} of {CELLS} configurations were never measured"
    assert told in run.stdout
    assert told in (out / "report.html").read_text()
    assert "Not complete" not in run.stdout


@pytest.mark.wide
def test_a_search_goes_on_from_the_trials_on_disk(tmp_path: Path, own_tmp: Path) -> None:
    few = ("--search", "--workers", "1,2", "--batch-size", "1,4", "--runs", "2")
    run = finished(sweep(tmp_path, TAKES_A_WHILE, *few, *QUICK))
    assert run.returncode == 0, run.stderr
    out = tmp_path / "out"
    kept = (out / "trials.jsonl").read_bytes().splitlines(keepends=True)[:2]
    (out / "trials.jsonl").write_bytes(b"".join(kept))  # as where it was killed
    verdict = judge(read(out))
    assert verdict.searched is not None
    assert verdict.searched.next_cell is not None
    assert any("The search is not over" in line for line in banners(verdict))

    again = finished([*DOOR, "--resume", str(out)])
    assert again.returncode == 0, again.stderr
    lines = (out / "trials.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[:2] == kept
    verdict = judge(read(out))
    assert verdict.searched is not None
    assert verdict.searched.next_cell is None
    assert verdict.advice is not None
    assert (verdict.advice.best.cell.workers, verdict.advice.best.cell.batch_size) == (2, 4)
