"""What a way through a trace costs, and which bounds it keeps."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.placement.periods import Course, Making, Period, cross, tables, write_periods
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Memory
from tests.experiments.placement.profiles import problem

DEMAND = problem(("a", 1, 100))
# Of batches of 4 a half serves 400 requests/s.
HALF, WHOLE = Part(50, 20, (Resident(0, 4),)), Part(100, 20, (Resident(0, 8),))
PERIODS = (Period(100, 200, (100,)), Period(200, 300, (600,)))
GROWS = Course("grows", (Placement(((HALF,),)), Placement(((HALF,), (WHOLE,)))))
STAYS = Course("stays", (Placement(((HALF,),)),) * 2)


def test_a_part_that_is_made_takes_its_gpu_at_once_and_serves_later() -> None:
    (grown,) = cross(DEMAND, PERIODS, [GROWS], Making(12))
    assert grown.gpu_s == 100 + 200
    assert grown.moves == 1
    assert sum(grown.requests) == grown.outcomes[0].requests
    assert grown.requests[1] == pytest.approx(600 * 100, rel=0.05)
    assert grown.within[0] == grown.requests[0]
    (later,) = cross(DEMAND, PERIODS, [GROWS], Making(60))
    assert later.within[1] < grown.within[1]


def test_made_ahead_it_serves_from_the_first_on() -> None:
    (late, ahead) = (cross(DEMAND, PERIODS, [GROWS], Making(12, ahead))[0] for ahead in (False, True))
    assert ahead.gpu_s == 100 + 12 + 200
    assert ahead.attainment > 0.999 > late.attainment


def test_what_leaves_serves_until_its_requests_are_answered() -> None:
    shrinks = Course("shrinks", (Placement(((HALF,), (WHOLE,))), Placement(())))
    periods = (Period(0, 50, (300,)), Period(50, 100, (0,)))
    (done,) = cross(DEMAND, periods, [shrinks])
    assert done.gpu_s == pytest.approx(100 + 2 * 0.1)
    assert done.attainment == 1


def test_where_there_is_no_room_for_both_nobody_serves_meanwhile() -> None:
    tight = replace(DEMAND, rules=replace(DEMAND.rules, memory=Memory(1, 1)))
    swaps = Course("swaps", (Placement(((HALF,),)), Placement(((WHOLE,),))))
    (roomy, stopped) = (cross(each, PERIODS, [swaps])[0] for each in (DEMAND, tight))
    assert roomy.gpu_s == stopped.gpu_s == 200
    assert stopped.attainment < roomy.attainment
    assert stopped.outcomes[0].p99_ms > 11_000  # the first wait for all of the making


@pytest.mark.parametrize(
    ("making", "told"),
    [
        (Making(-1), "making a part takes 0 s or more, not -1 s"),
        (Making(float("nan")), "making a part takes 0 s or more, not nan s"),
        (Making(100), "the period from 100 s on lasts 100 s, making a part and the longest bound 100.1 s"),
    ],
)
def test_what_can_not_be_is_told(making: Making, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        cross(DEMAND, PERIODS, [STAYS], making)


def test_it_is_written_and_shown(tmp_path: Path) -> None:
    crossed = cross(DEMAND, PERIODS, [GROWS, STAYS])
    table, placements = write_periods(tmp_path / "new", DEMAND, PERIODS, crossed, Making())
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["start_s"], row["placement"], row["gpus"], row["moves"]) for row in rows] == [
        ("100", "grows", "1", "0"),
        ("100", "stays", "1", "0"),
        ("200", "grows", "2", "1"),
        ("200", "stays", "1", "0"),
    ]
    assert sum(int(row["within_bound"]) for row in rows) == sum(sum(each.within) for each in crossed)
    content = json.loads(placements.read_text("utf-8"))
    assert content["placements"]["grows"]["by_period"][1][1][0]["size"] == 100
    assert content["placements"]["grows"]["gpu_s"] == 300
    assert [len(each.rows) for each in tables(PERIODS, crossed)] == [2, 1, 2]


def test_requests_that_nobody_ever_answers_are_null_in_the_file(tmp_path: Path) -> None:
    nobody = Course("nobody", (Placement(()),) * 2)
    crossed = cross(DEMAND, PERIODS, [nobody])
    assert crossed[0].attainment == 0
    _, placements = write_periods(tmp_path, DEMAND, PERIODS, crossed, Making())
    assert json.loads(placements.read_text("utf-8"))["placements"]["nobody"]["workloads"][0]["p99_ms"] is None
