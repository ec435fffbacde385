"""--search end to end: a real TorchServe, measured only where the best may be."""

import json
from pathlib import Path

import pytest

from experiments.results import read
from experiments.verdict import judge
from tests.integration.mps.test_sweep import finished, resumed, sweep, trials

pytestmark = pytest.mark.integration

# A batch takes as long as a request: more workers and larger batches are worth it.
TAKES_A_WHILE = """
import time
def handle(rows, context):
    if not rows:
        return None
    time.sleep(0.02)
    return ["ok"] * len(rows)
"""
SEARCH = ("--search", "--workers", "1,2", "--batch-size", "1,2,4,8", "--batch-delay", "1,5", "--runs", "2")
QUICK = ("--duration", "0.3", "--warm-up", "0.1", "--no-ceilings")
CELLS = 16


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


def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path, own_tmp: Path) -> None:
    run = finished(sweep(tmp_path, TAKES_A_WHILE, *SEARCH, *QUICK, "--budget", "4"))
    assert run.returncode == 0, run.stderr
    assert "the budget of 4 s is spent" in run.stdout
    out = tmp_path / "out"
    before = trials(out)
    assert "The search is not over" in (out / "report.md").read_text()

    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps(plan | {"budget_s": None}))
    again = resumed(out)
    assert again.returncode == 0, again.stderr
    after = trials(out)
    assert after[: len(before)] == before
    verdict = judge(read(out))
    assert verdict.searched is not None
    assert verdict.searched.next_cell is None

    assert resumed(out).returncode == 0
    assert trials(out) == after  # nothing is left to measure
