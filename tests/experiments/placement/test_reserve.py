"""Requests come in bursts: a placement has the room that bounds take, or says who falls short."""

import pytest

from experiments.base.errors import UsageError
from experiments.placement import reserve
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


def asked_of_gpus(*rates_rps: float) -> Problem:
    """Of models that get through 2 requests/s on a whole GPU, and on no less."""
    table = LatencyTable([Measured("net", 100, 1, 500.0)])
    each = (Workload(f"net-{number}", "net", rate, 1000.0) for number, rate in enumerate(rates_rps))
    return Problem(tuple(each), table)


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


@pytest.mark.parametrize(("kept", "told"), [(1.0, "100"), (1.5, "150"), (-0.5, "-50")])
def test_more_than_all_or_less_than_none_is_never_promised(kept: float, told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told} % of the requests can't be promised: use 0 to 99.9$"):
        place_with_reserve(asked(50.0), 1, kept=kept)


@pytest.mark.parametrize(("raises", "gpus"), [(16, 2), (17, 1)])
def test_rates_are_raised_by_a_tenth_sixteen_times_at_most(raises: int, gpus: int) -> None:
    """A second GPU comes where 2 requests/s are planned for."""
    reserved = place_with_reserve(asked_of_gpus(2.01 / 1.1**raises), 2, "greedy", kept=0.999)
    assert len(reserved.placed.placement.gpus) == gpus
    assert bool(reserved.short) == (gpus == 1)


@pytest.mark.parametrize(("models", "raises", "gpus"), [(2, 5, 3), (3, 4, 4), (3, 5, 3)])
def test_those_of_many_models_but_four_times(
    models: int, raises: int, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "MANY", 2)
    problem = asked_of_gpus(2.01 / 1.1**raises, *[0.001] * (models - 1))
    assert len(place_with_reserve(problem, 9, "greedy", kept=0.98).placed.placement.gpus) == gpus


def test_of_those_that_do_as_well_the_first_is_taken() -> None:
    """From 1.5 requests/s to 2 it is the same GPU, and there is no second."""
    reserved = place_with_reserve(problem := asked_of_gpus(1.5), 1)
    assert reserved.short
    assert reserved.raised(problem) == {}


def test_who_keeps_the_bound_just_as_often_as_asked_has_room_enough() -> None:
    problem = asked_of_gpus(1.0, 1.9)
    first, second = place_with_reserve(problem, 2, kept=0.0).predicted
    assert second.attainment < first.attainment < 1
    reserved = place_with_reserve(problem, 9, kept=first.attainment)
    assert not reserved.short
    assert list(reserved.raised(problem)) == ["net-1"]


def test_the_same_seed_gives_the_same_and_it_is_0_where_none_is_given() -> None:
    problem = asked_of_gpus(1.0)
    placed = place_with_reserve(problem, 1, kept=0.0)
    assert placed == place_with_reserve(problem, 1, kept=0.0, seed=0)
    assert placed != place_with_reserve(problem, 1, kept=0.0, seed=1)
