"""A sweep on a real Ray cluster: two nodes of a core each, on loopback. Skipped without the extra `ray`."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.parts.ray_nodes import Nodes, ray_nodes
from experiments.base.paths import ROOT
from experiments.results import read, read_trials
from tests.support.small_archives import NOOP, archive

pytest.importorskip("ray", reason="needs Ray: make setup ENGINES=ray")
pytestmark = [
    pytest.mark.wide,
    pytest.mark.integration,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs 2 cores"),
]

MARK = "TSMPS_TEST_NODES"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ[MARK] = str(os.getpid())  # what the nodes start has it
    with tempfile.TemporaryDirectory(prefix="rn-") as folder, ray_nodes(Path(folder), 1, 1) as found:
        yield found


def run(*options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mps.run", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def a_plan(tmp_path: Path, batch_sizes: str = "1,2", duration: str = "0.5") -> list[str]:
    (tmp_path / "text.txt").write_text("hello")
    model = archive(tmp_path, "noop", NOOP)
    plan = ["--model", str(model), "--input", str(tmp_path / "text.txt"), "--workers", "1"]
    plan += ["--batch-size", batch_sizes, "--runs", "2", "--duration", duration, "--warm-up", "0.1"]
    return [*plan, "--no-check-answers", "--out", str(tmp_path / "out")]


def test_cells_are_spread_over_the_nodes(nodes: Nodes, tmp_path: Path) -> None:
    process = run(*a_plan(tmp_path), "--ray", nodes.address)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "2 cards of a Ray cluster, each 1 core of" in out
    results = read(tmp_path / "out")
    assert not [trial for trial in results.plan.trials() if not _has(tmp_path / "out", trial.cell)]
    assert len({each.card for each in results.trials}) == 2
    assert len(results.checks) == 2
    assert all(len(runs) >= results.plan.runs for runs in results.checks.values())
    assert results.environment["device"].startswith("cluster of 1 core of")
    positions = [each.trial.position for each in results.trials]
    assert all((tmp_path / "out" / "requests" / f"{each:04}.npz").is_file() for each in positions)


def _has(folder: Path, cell: object) -> bool:
    return any(each.trial.cell == cell for each in read_trials(folder))


def test_a_killed_driver_leaves_no_server_and_is_resumed(nodes: Nodes, tmp_path: Path) -> None:
    process = run(*a_plan(tmp_path, "1,2,3", "2"), "--ray", nodes.address)
    deadline = time.monotonic() + 200
    while not read_trials(tmp_path / "out") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    kept = read_trials(tmp_path / "out")
    assert kept
    while (left := _of_cards()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    alone = run("--resume", str(tmp_path / "out"))
    assert "give --ray too" in alone.communicate(timeout=100)[1]
    assert alone.returncode == 2
    again = run("--resume", str(tmp_path / "out"), "--ray", nodes.address)
    _, err = again.communicate(timeout=250)
    assert again.returncode == 0, err
    found = read_trials(tmp_path / "out")
    assert found[: len(kept)] == kept


def _of_cards() -> list[str]:
    """The card programs that these nodes run, with what they have started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            told = " ".join(process.cmdline())
            if process.environ().get(MARK) == str(os.getpid()) and "experiments." in told:
                found.append(told)
    return found


def test_more_cores_than_a_node_has_are_refused(nodes: Nodes, tmp_path: Path) -> None:
    process = run(*a_plan(tmp_path), "--ray", nodes.address, "--card-cores", "2")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert err.splitlines() == ["error: --card-cores 2: no node of the cluster has more than 1 cores"]


@pytest.mark.parametrize(
    ("address", "said", "code"),
    [
        ("127.0.0.1:1", "--ray 127.0.0.1:1: nothing answers there (Connection refused)", 1),
        ("nowhere.invalid:6379", "--ray nowhere.invalid:6379: nothing answers there", 1),
        ("somewhere", "--ray is auto or the HOST:PORT of a cluster's head, not 'somewhere'", 2),
    ],
)
def test_a_cluster_that_is_not_there_is_told_in_a_line(
    address: str, said: str, code: int, tmp_path: Path
) -> None:
    process = run(*a_plan(tmp_path), "--ray", address)
    _, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    (line,) = err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()
