"""Loads from another node of a real Ray cluster: one node is measured, at an address of its own.

Skipped without the extra `ray`.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.parts.ray_nodes import Nodes, ray_nodes
from experiments.results import read, read_trials
from experiments.verdict import judge
from tests.integration.experiments.cluster.test_over_ray import a_plan, run

pytest.importorskip("ray", reason="needs Ray: make setup ENGINES=ray")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.wide,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs 2 cores"),
]

MARK = "TSMPS_TEST_LOADING"
MEASURED = "127.0.0.2"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ[MARK] = str(os.getpid())  # what the nodes start has it
    with (
        tempfile.TemporaryDirectory(prefix="rn-") as folder,
        ray_nodes(Path(folder), 1, 1, load="load", at=MEASURED) as found,
    ):
        yield found


def test_a_load_comes_from_the_other_node_and_the_results_say_so(nodes: Nodes, tmp_path: Path) -> None:
    process = run(*a_plan(tmp_path), "--ray", nodes.address, "--load-from", "load")
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    assert "1 card of a Ray cluster" in out
    assert "; loads come from " in out
    results = read(tmp_path / "out")
    assert all(each.valid and each.load_from for each in results.trials)
    assert {each.load_from.listens_on for each in results.trials if each.load_from} == {MEASURED}
    told = results.environment["load_from"]
    assert (told["resource"], len(told["nodes"])) == ("load", 1)
    assert any("loads came from other nodes" in note for note in judge(results).notes)
    for other in ([], ["--load-from", f"node:{MEASURED}"]):
        again = run("--resume", str(tmp_path / "out"), "--ray", nodes.address, *other)
        assert "give --load-from as then" in again.communicate(timeout=250)[1]
        assert again.returncode == 2


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("clients", "--load-from clients: no node of the cluster has that resource: start one with"),
        ("CPU", "--load-from CPU: every node of the cluster has that resource, none is left to be measured"),
    ],
)
def test_where_no_load_can_come_from_another_node_it_is_told_in_a_line(
    resource: str, said: str, nodes: Nodes, tmp_path: Path
) -> None:
    process = run(*a_plan(tmp_path), "--ray", nodes.address, "--load-from", resource)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    (line,) = err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_card_whose_loads_have_lost_their_program_is_lost(nodes: Nodes, tmp_path: Path) -> None:
    process = run(*a_plan(tmp_path, duration="5"), "--ray", nodes.address, "--load-from", "load")
    deadline = time.monotonic() + 200
    while not read_trials(tmp_path / "out") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    (loading,) = _of_loads()
    loading.kill()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "its loads came from " in err
    assert "which is lost: its program ended by signal 9" in err
    assert "--load-from load" in err  # how to go on
    assert all(each.valid for each in read_trials(tmp_path / "out"))


def _of_loads() -> list[psutil.Process]:
    """The programs of these nodes that send loads."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(os.getpid()) and "load_program" in " ".join(
                process.cmdline()
            ):
                found.append(process)
    return found
