"""Every strategy of placing: known answers, and what holds of any demand."""

from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parts import sharing
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.interference import NOT_FELT
from experiments.placement.problem import Problem, Rules, UnplaceableError
from experiments.placement.strategies import STRATEGIES, smallest
from experiments.placement.strategies.search import fewest

MODELS = sharing.rtx2080ti().models()
MOST = 60


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    chosen = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=4))
    workloads = tuple(
        Workload(
            f"{model}-{number}",
            model,
            draw(st.floats(1, 500)),
            draw(st.floats(2.2, 8)) * float(sharing.rtx2080ti().curve(model, 100)[1]),
        )
        for number, model in enumerate(chosen)
    )
    interference = sharing.linear() if draw(st.booleans()) else NOT_FELT
    return Problem(
        workloads, sharing.rtx2080ti(), Rules(late_binding=draw(st.booleans()), interference=interference)
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nexus_example_takes_two_gpus(strategy: str) -> None:
    problem = sharing.nexus_problem()
    if strategy in ("time-sharing", "gpulet", "search"):  # the others let nobody take turns
        assert len(smallest(strategy, problem, 5).gpus) == 2
    else:
        assert len(smallest(strategy, problem, 5).gpus) == 3


@pytest.mark.parametrize(
    ("strategy", "originals"), [("time-sharing", 5), ("greedy", 4), ("gpulet", 3), ("search", 3)]
)
def test_traffic_at_500_takes_no_more_than_the_original(strategy: str, originals: int) -> None:
    problem = sharing.prototype_problem(sharing.TRAFFIC, dict.fromkeys(sharing.TRAFFIC, 500))
    assert len(smallest(strategy, problem, 20).gpus) <= originals


@pytest.mark.parametrize(
    ("strategy", "felt", "rate", "originals"),
    [
        ("greedy", False, 650, 6),
        ("greedy", False, 800, 7),
        ("gpulet", True, 100, 2),
        ("gpulet", True, 450, 3),
    ],
)
def test_no_more_than_plans_of_the_original_that_pass(
    strategy: str, felt: bool, rate: int, originals: int
) -> None:
    problem = sharing.prototype_problem(sharing.TRAFFIC, dict.fromkeys(sharing.TRAFFIC, rate), felt)
    assert len(smallest(strategy, problem, 20).gpus) <= originals


@pytest.mark.wide
@pytest.mark.thorough
def test_the_search_needs_no_more_than_elastic_partitioning_where_memory_is_short() -> None:
    for rates in product((100, 200), repeat=4):
        demand = dict(zip(sharing.FOUR, rates, strict=True))
        problem = sharing.prototype_problem(sharing.FOUR, demand)
        assert len(smallest("search", problem, 9).gpus) <= len(smallest("gpulet", problem, 9).gpus)


@pytest.mark.thorough
@pytest.mark.parametrize(("rate", "felt", "gpus"), [(150, True, 2), (350, True, 3), (600, False, 4)])
def test_the_bound_knows_that_neighbours_are_felt(rate: int, felt: bool, gpus: int) -> None:
    problem = sharing.prototype_problem(sharing.TRAFFIC, dict.fromkeys(sharing.TRAFFIC, rate), felt)
    found = fewest(problem)
    assert (len(found.placement.gpus), found.at_least) == (gpus, gpus)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_too_few_gpus_are_told_in_one_line(strategy: str) -> None:
    problem = sharing.prototype_problem(sharing.TRAFFIC, dict.fromkeys(sharing.TRAFFIC, 500))
    with pytest.raises(UnplaceableError, match="add GPUs") as raised:
        STRATEGIES[strategy](problem, 1)
    assert "\n" not in str(raised.value)


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "search"])
@given(problem=problems())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_whatever_is_placed_passes_the_checker_and_more_gpus_do_no_harm(
    strategy: str, problem: Problem
) -> None:
    placement = smallest(strategy, problem, MOST)
    used = len(placement.gpus)
    assert violations(placement, problem, used) == []
    for fewer, more in pairwise((used, used + 1, used + 5)):
        assert len(smallest(strategy, problem, more).gpus) == len(smallest(strategy, problem, fewer).gpus)


@pytest.mark.thorough
@given(problem=problems())
@settings(max_examples=4, deadline=None, derandomize=True)
def test_the_search_passes_the_checker_too(problem: Problem) -> None:
    assert violations(smallest("search", problem, MOST), problem) == []


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(6))
def test_what_is_placed_in_groups_takes_no_more_gpus_than_by_another_strategy(seed: int) -> None:
    draw = Random(seed)
    table = sharing.rtx2080ti()
    workloads = tuple(
        Workload(
            f"w{number}", draw.choice(table.models()), draw.choice([20, 50, 120]), draw.choice([150, 400])
        )
        for number in range(14)
    )
    problem = Problem(workloads, table)
    found = fewest(problem)
    assert not violations(found.placement, problem)
    assert found.at_least <= len(found.placement.gpus)
    for strategy in STRATEGIES:
        assert len(found.placement.gpus) <= len(smallest(strategy, problem, 14).gpus)
