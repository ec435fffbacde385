"""The campaign's own judgement: what is lost or doubled is seen, and a kill is the same when drawn again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import kept
from tests.chaos.drawn import PROGRAM, SIGNALS, Target, draw
from tests.chaos.harms.damages import DAMAGED_TRIALS, TRIALS, damage, without_line
from tests.chaos.left import left_behind
from tests.chaos.stage import staged
from tests.chaos.story import Story, counted

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
