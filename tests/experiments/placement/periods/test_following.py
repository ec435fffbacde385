"""Placements that follow each other: known answers, and what holds of any trace."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parts import sharing
from experiments.placement.card import Slices
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.interference import NOT_FELT
from experiments.placement.periods.following import Course, courses, following
from experiments.placement.periods.moves import step, used
from experiments.placement.periods.trace import Period, asked_in
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem, Rules, UnplaceableError
from experiments.placement.strategies.search import fewest
from tests.experiments.placement.profiles import problem

GPUS = 12


def trace(*rates: tuple[float, ...]) -> list[Period]:
    return [Period(60.0 * number, 60.0 * number + 60, each) for number, each in enumerate(rates)]


def demand(felt: bool = False) -> Problem:
    workloads = (Workload(model, model, 1.0, bound) for model, bound in sharing.THREE.items())
    rules = Rules(interference=sharing.linear() if felt else NOT_FELT)
    return Problem(tuple(workloads), sharing.rtx2080ti(), rules)


def moves(course: Course) -> int:
    return sum(taken.moves for taken in course.steps)


@st.composite
def traces(draw: st.DrawFn) -> list[Period]:
    rate = st.one_of(st.just(0.0), st.floats(1, 400))
    return trace(*draw(st.lists(st.tuples(rate, rate, rate), min_size=2, max_size=4)))


@pytest.mark.wide
@pytest.mark.thorough
@given(periods=traces())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_every_placement_passes_the_checker_on_no_more_gpus_than_anew(periods: list[Period]) -> None:
    keeps_the_rules(periods, demand())


@pytest.mark.thorough
def test_so_it_does_where_neighbours_are_felt() -> None:
    keeps_the_rules(trace((100, 0, 0), (40, 60, 0)), demand(felt=True))


def keeps_the_rules(periods: list[Period], asking: Problem) -> None:
    followed, anew, held = courses(asking, periods, GPUS)
    for number, period in enumerate(periods):
        asked = asked_in(asking, period.rates_rps)
        for course in (followed, anew, held):
            placement = asked.of_demand(course.placements[number])
            assert asked.problem is None or violations(placement, asked.problem) == []
        assert followed.gpus[number] <= anew.gpus[number]
    assert moves(held) == 0


@pytest.mark.thorough
@given(rates=st.tuples(st.floats(1, 400), st.floats(1, 400), st.floats(0, 400)))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_where_rates_do_not_change_nothing_moves(rates: tuple[float, ...]) -> None:
    followed, anew, _ = courses(demand(), trace(rates, rates, rates), GPUS)
    assert (moves(followed), moves(anew)) == (0, 0)


@pytest.mark.thorough
def test_a_rate_that_rises_leaves_the_others_where_they_are() -> None:
    followed, anew, held = courses(demand(), trace((300, 200, 300), (300, 200, 600), (300, 200, 300)), GPUS)
    assert followed.gpus[1] > followed.gpus[0]
    assert 1 <= followed.steps[1].moves < anew.steps[1].moves
    assert followed.steps[2].moves <= anew.steps[2].moves
    assert followed.gpus[2] == anew.gpus[2] < held.gpus[2]


@pytest.mark.thorough
def test_nothing_asked_needs_no_gpu() -> None:
    followed, anew, held = courses(demand(), trace((100, 100, 100), (0, 0, 0), (100, 100, 100)), GPUS)
    assert followed.gpus == anew.gpus
    assert followed.gpus[1] == 0
    assert held.gpus[1] > 0
    assert followed.steps[2].moves > 0


def test_the_part_that_stands_is_filled_before_another_is_made() -> None:
    asked = problem(("a", 350, 200))  # batches of 32 on the whole GPU: 970 requests/s
    old = Placement(((Part(50, 20, (Resident(0, 4),)),),))
    after = following(asked, old, fewest(asked).placement, 4)
    assert [[part.size for part in parts] for parts in after.gpus] == [[50]]
    assert step(old, after).moves == 0
    assert step(old, after).changed == 1


@pytest.mark.thorough
def test_what_stands_and_is_in_nobodys_way_stays() -> None:
    asked = problem(("a", 350, 200), ("b", 400, 200))
    a, b = Part(50, 20, (Resident(0, 4),)), Part(50, 100, (Resident(1, 24),))
    after = following(asked, Placement(((a, a), (b,))), fewest(asked).placement, 4)
    # One half would do for a by now, b needs another one.
    of_whom = [[{resident.workload for resident in part.residents} for part in parts] for parts in after.gpus]
    assert of_whom == [[{0}, {0}], [{1}, {1}]]
    assert step(Placement(((a, a), (b,))), after).moves == 1


def test_mig_instances_stay_too() -> None:
    asked = sharing.parvagpu_problem("S1")
    more = replace(
        asked, workloads=tuple(replace(each, rate_rps=1.3 * each.rate_rps) for each in asked.workloads)
    )
    assert isinstance(more.rules.card, Slices)
    old, found = fewest(asked).placement, fewest(more).placement
    after = following(more, old, found, 20)
    assert violations(after, more, 20) == []
    assert used(after) <= used(found)
    assert step(old, after).moves <= step(old, found).moves


@pytest.mark.thorough
def test_too_few_gpus_are_told_with_the_time() -> None:
    with pytest.raises(UnplaceableError, match=r"from 60 s on: .*1 are there: add GPUs"):
        courses(demand(), trace((50, 50, 50), (900, 900, 900)), 1)
