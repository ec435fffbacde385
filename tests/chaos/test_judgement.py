"""The campaign's own judgement: what is lost or doubled is seen, and a kill is the same when drawn again."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from tests.chaos import kept
from tests.chaos.clock import Clock
from tests.chaos.drawn import PROGRAM, SIGNALS, Target, draw, drawn, numbers_in
from tests.chaos.harms.damages import DAMAGED_TRIALS, TRIALS, damage, without_line
from tests.chaos.left import left_behind
from tests.chaos.log import Log
from tests.chaos.stage import PYTHON, staged
from tests.chaos.story import Story, counted
from tests.chaos.tracebacks import BEGIN, place_of_one

IMPORTS = (
    f'  File "{ROOT}/mps/run.py", line 9, in <module>\n  File "{ROOT}/site-packages/np.py", line 1, in f'
)
RUNS = f'  File "{ROOT}/mps/run.py", line 9, in main\n  File "/usr/lib/python3/ssl.py", line 7, in g'
NUMPY = '  File "np.py", line 1, in <module>'

TARGETS = (Target("sweep", ("worker",), trials=4, weight=3), Target("report", ()))


def line(run: int, attempt: int = 0, *, valid: bool = True, disturbed: bool = False) -> bytes:
    trial: dict[str, Any] = {"run": run, "attempt": attempt, "valid": valid, "position": run}
    return json.dumps(trial | {"disturbances": ["busy"] if disturbed else []}).encode()


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_kill_is_a_function_of_seed_and_number(seed: int, number: int) -> None:
    kill = draw(seed, number, TARGETS)
    assert kill == draw(seed, number, TARGETS)
    assert 0 <= kill.at < 1
    assert kill.role == PROGRAM or (kill.scene == "sweep" and kill.harm in SIGNALS)
    assert kill.scene == "sweep" or kill.after_trials is None


def test_kills_are_asked_for_by_how_many_or_by_number() -> None:
    assert numbers_in("14,44-46") == [14, 44, 45, 46]
    for wrong in ("", "4-", "a", "1,,2"):
        with pytest.raises(ValueError, match="14,44-54"):
            numbers_in(wrong)
    reports = drawn(1, 3, TARGETS, ["report"])
    assert [kill.scene for kill in reports] == ["report"] * 3
    assert drawn(1, range(1, reports[-1].number + 1), TARGETS, ["report"]) == reports
    assert reports[0] == draw(1, reports[0].number, TARGETS)


@pytest.mark.parametrize(
    ("printed", "place"),
    [
        ("error: no memory is left", None),
        (f"{BEGIN}:\n{RUNS}\nMemoryError", "/usr/lib/python3/ssl.py:7"),
        (f"{BEGIN}:\n{IMPORTS}\nMemoryError", None),
        (f"{BEGIN}:\n{NUMPY}\nImportError\nDuring it:\n{BEGIN}:\n{IMPORTS}\nImportError", None),
        (f"{BEGIN}:\n{IMPORTS}\nImportError\n{BEGIN}:\n{RUNS}\nOSError", "/usr/lib/python3/ssl.py:7"),
        (f"Exception ignored in: <function f>\n{BEGIN}:\n{NUMPY}\nKeyboardInterrupt", "np.py:1"),
        (f'{BEGIN}:\n  File "<frozen importlib._bootstrap>", line 1\n{RUNS}\nOSError', None),
    ],
)
def test_a_traceback_counts_unless_python_only_imports(printed: str, place: str | None) -> None:
    assert place_of_one(printed) == place


def test_trials_that_are_gone_or_there_twice_are_seen() -> None:
    before = [line(1), line(2)]
    assert kept.lost(before, [*before, line(3)]) == []
    assert len(kept.lost(before, [line(1)])) == 1
    assert kept.doubled([line(1), line(2, valid=False), line(2, 1)]) == []
    assert kept.doubled([line(1, disturbed=True), line(1, 1)]) == []
    assert len(kept.doubled([line(1), line(1)])) == 2
    assert len(kept.doubled([line(1), line(1, 1)])) == 1


@given(st.sampled_from(DAMAGED_TRIALS), st.floats(0, 1, exclude_max=True))
def test_damage_leaves_no_more_than_it_says(
    tmp_path_factory: pytest.TempPathFactory, how: str, detail: float
) -> None:
    out = tmp_path_factory.mktemp("out")
    before = [line(1), line(2), line(3)]
    (out / TRIALS).write_bytes(b"\n".join([*before, b""]))
    assert damage(out, how, detail)
    untouched = [each for each in kept.whole_lines(out) if each in before]
    assert len(untouched) >= (3 if how == "torn line" else 1 if how == "a zero byte" else 0)


def test_nothing_is_damaged_that_is_not_there(tmp_path: Path) -> None:
    for how in (*DAMAGED_TRIALS, "cut requests", "cut environment"):
        assert damage(tmp_path, how, 0.5) is None


def test_a_line_is_removed_as_it_is_counted(tmp_path: Path) -> None:
    (tmp_path / TRIALS).write_bytes(b"one\ntwo\nthree\n")
    without_line(tmp_path, 2)
    assert (tmp_path / TRIALS).read_bytes() == b"one\nthree\n"


@pytest.mark.thorough
@pytest.mark.wide
def test_what_is_left_on_a_stage_is_seen_and_cleared(tmp_path: Path) -> None:
    with staged(tmp_path, own_room=False) as stage:
        process = stage.start(["sleep", "60"], stage.environment())
        (stage.tmp / "forgotten").mkdir()
        stage.out.mkdir()
        (stage.out / "plan.json.new").touch()
        process_left, folder_left, half_left = left_behind(stage)
        assert process_left.endswith("sleep 60")
        assert folder_left == "in TMPDIR: forgotten"
        assert half_left == "half-written: plan.json.new"
    assert process.wait(timeout=10) == -9
    assert not stage.folder.exists()


def test_a_clock_tells_what_a_stage_has_computed_not_how_long_it_waited(tmp_path: Path) -> None:
    with staged(tmp_path, own_room=False) as stage:
        clock = Clock(stage)
        stage.start(["sleep", "60"], stage.environment())
        stage.start([PYTHON, "-c", "while True: pass"], stage.environment())
        while (before_s := clock.cpu_s()) < 0.03:
            time.sleep(0.01)
        for process in stage.processes():
            process.kill()
        assert clock.cpu_s() >= before_s


@pytest.mark.thorough
def test_a_log_tells_which_numbers_are_good_however_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "kills.log"
    log = Log(path, seed=1)
    assert log.good() == set()
    log.add(Story(0, "sweep", did=["undisturbed"]))
    log.add(Story(7, "sweep", struck=1, did=["SIGKILL"]))
    log.add(Story(8, "sweep", struck=1, lost=["a trial"]))
    log.add(Story(9, "sweep", did=["SIGKILL came too late"]))
    assert log.good() == {7}
    assert path.read_text("utf-8").startswith("# seed 1, commit ")
    with path.open("a", encoding="utf-8") as file:
        file.write("  10 sweep: SIGKI")
    again = Log(path, seed=1)
    again.add(Story(8, "sweep", struck=1, did=["SIGKILL"]))
    assert Log(path, seed=1).good() == {7, 8}
    assert path.read_text("utf-8").count("#") == 1
    with pytest.raises(UsageError, match="is of seed 1: give another --log"):
        Log(path, seed=2)


def test_a_story_is_one_line_and_counts_once() -> None:
    story = Story(7, "sweep", struck=1, did=["SIGKILL\nto the program"], lost=["a trial"])
    assert story.line() == "7 sweep: SIGKILL to the program; 0 kept, resumed 0x: LOST a trial (0.0 s)"
    assert counted([story, Story(8, "sweep")]) == {
        "kills": 1,
        "lost": 1,
        "doubled": 0,
        "left_behind": 0,
        "failed": 0,
    }
