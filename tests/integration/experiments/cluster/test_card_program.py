"""The program on a card, as an actor of Ray starts it, with a real TorchServe."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from experiments.bench import Bench, bench_for
from experiments.cluster.messages import Done, Equip, Event, Failed, Finished, Hello, Lost, Measure
from experiments.cluster.program import CARD, Program
from experiments.plan import Plan
from experiments.serving.instances import PREFIX
from tests.support.small_archives import NOOP, archive

pytestmark = pytest.mark.integration
CORE = max(os.sched_getaffinity(0))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    text = tmp_path / "text.txt"
    text.write_text("hello")
    model = archive(tmp_path, "noop", NOOP)
    return Plan(
        str(model), (1,), (1, 2), duration_s=0.5, warm_up_s=0.1, runs=2, input=str(text), check_answers=False
    )


@pytest.fixture
def bench(plan: Plan) -> Bench:
    return bench_for(plan)


@contextmanager
def running(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    program = Program(CARD, [CORE], "cpu")
    try:
        yield program
    finally:
        program.close()


def told(program: Program, until: type[Event]) -> list[Event]:
    """What it tells, up to the first event of this kind."""
    found: list[Event] = []
    while not any(isinstance(event, until) for event in found):
        found += program.events(60)
        assert found
        assert until is Lost or not isinstance(found[-1], Lost)
    return found


@pytest.mark.wide
def test_it_measures_its_cells_on_its_cores_and_hands_over_each_trial(
    plan: Plan, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "t", monkeypatch) as program:
        (hello,) = told(program, Hello)
        assert isinstance(hello, Hello)
        assert hello.environment["cpu"]["cores"] == 1
        assert psutil.Process(program.pid).cpu_affinity() == [CORE]
        program.send(Equip(plan, bench))
        told(program, Done)
        cell = plan.cells()[1]
        program.send(Measure((cell,)))
        trials = [event for event in told(program, Done) if isinstance(event, Finished)]
        assert {each.result.trial.run for each in trials} == {1, 2}
        assert {each.result.trial.cell for each in trials} == {cell}
        assert all(each.result.valid and each.requests for each in trials)
    assert [path.name for path in (tmp_path / "t").iterdir() if path.name.startswith(PREFIX)] == []


@pytest.mark.wide
def test_when_its_pipe_ends_it_stops_its_server_in_the_middle_of_a_trial(
    plan: Plan, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "t", monkeypatch) as program:
        program.send(Equip(replace(plan, duration_s=60.0), bench))
        told(program, Done)
        program.send(Measure((plan.cells()[0],)))
        program.events(60)  # it is loading the model
        family = psutil.Process(program.pid).children(recursive=True)
    _, left = psutil.wait_procs(family, timeout=20)
    assert left == []
    assert list((tmp_path / "t").glob(f"{PREFIX}*")) == []


@pytest.mark.wide
def test_when_it_is_killed_its_server_ends_too(
    plan: Plan, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "t", monkeypatch) as program:
        program.send(Equip(replace(plan, duration_s=60.0), bench))
        told(program, Done)
        program.send(Measure((plan.cells()[0],)))
        program.events(60)
        family = psutil.Process(program.pid).children(recursive=True)
        psutil.Process(program.pid).kill()
        assert told(program, Lost)[-1] == Lost("its program ended by signal 9")
    _, left = psutil.wait_procs(family, timeout=20)
    assert left == []
    time.sleep(0.1)
    assert list((tmp_path / "t").glob(f"{PREFIX}*")) == []


@pytest.mark.wide
def test_what_it_can_not_do_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "t", monkeypatch) as program:
        told(program, Hello)
        program.send(Measure(()))
        (failed,) = told(program, Failed)
        assert failed == Failed("a card has to be equipped before it measures", exit_code=2)
