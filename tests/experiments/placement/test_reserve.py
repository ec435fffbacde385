"""Requests come in bursts: a placement has the room that bounds take, or says who falls short."""

import pytest

from experiments.base.errors import UsageError
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.reserve import place_with_reserve
from experiments.placement.shown import reserve_told

TABLE = LatencyTable(
    Measured("net", size, batch, 4 + batch * 200 / size)
    for size in (20, 40, 50, 60, 80, 100)
    for batch in (1, 8)
)


def asked(rate_rps: float, slo_ms: float = 100.0) -> Problem:
    return Problem((Workload("net", "net", rate_rps, slo_ms),), TABLE)


@pytest.mark.thorough
def test_a_demand_that_fills_a_gpu_to_its_last_percent_gets_a_second() -> None:
    problem = asked(
        440.0
    )  # two halves with a batch of 8 every 36 ms get 444 through, the most that one GPU does
    filled = place_with_reserve(problem, 2, kept=0.0)
    assert len(filled.placed.placement.gpus) == 1
    assert filled.predicted[0].attainment < 0.99
    assert not filled.short
    assert not filled.raised(problem)

    reserved = place_with_reserve(problem, 2)
    assert len(reserved.placed.placement.gpus) == 2
    assert reserved.placed.at_least == 1  # of the rates as asked
    assert reserved.predicted[0].attainment >= 0.99
    assert not violations(reserved.placed.placement, problem, 2)
    assert reserved.raised(problem)["net"] > 1
    assert list(reserve_told(problem, reserved)) == [
        "planned for up to 1.1 times the rates of net: bursts need the room"
    ]


def test_where_the_gpus_are_too_few_the_best_there_is_says_so() -> None:
    problem = asked(440.0)
    reserved = place_with_reserve(problem, 1)
    assert [outcome.workload for outcome in reserved.short] == ["net"]
    (*_, last) = reserve_told(problem, reserved)
    assert last == "warning: fewer than 99 % of the requests to net keep the bound: add GPUs"


def test_room_that_is_there_anyway_is_not_planned_for() -> None:
    assert place_with_reserve(asked(50.0), 1).raised(asked(50.0)) == {}


def test_what_can_not_be_placed_as_asked_is_refused_as_ever() -> None:
    with pytest.raises(UnplaceableError, match="add GPUs"):
        place_with_reserve(asked(900.0), 1)
    with pytest.raises(UsageError, match="100 % of the requests can't be promised"):
        place_with_reserve(asked(50.0), 1, kept=1.0)
