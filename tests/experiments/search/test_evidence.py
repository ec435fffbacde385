"""What runs say, worked out by hand."""

from dataclasses import replace
from math import inf, log, sqrt

import numpy as np
import pytest

from experiments.plan import Cell, Trial, goal_from
from experiments.results import TrialResult
from experiments.search.evidence import (
    Standing,
    attempts_of,
    comparisons,
    expected_s,
    free_runs,
    is_hopeless,
    leader_first,
    logs_of,
    margin_of_one,
    mean_of,
    measuring_time_s,
    why_hopeless,
)
from tests.experiments.search.grids import SMALL
from tests.support.builders import a_result

FIRST, SECOND, *_ = SMALL.cells()
THROUGHPUT, BOUNDED = goal_from("throughput"), goal_from("throughput with p99<60ms")


def a_run(
    cell: Cell = FIRST, run: int = 1, rps: float = 100.0, p50_ms: float = 10.0, failed: bool = False
) -> TrialResult:
    trial = Trial(cell, SMALL.load_of(cell), run, 0, 0)
    return a_result(trial, rps, p50_ms, problems=["a worker died"] if failed else ())


# Whose runs they are.


def test_results_go_by_cells_those_of_the_twin_by_none() -> None:
    plan = replace(SMALL, noise_floor=True)
    *_, twin = plan.cells()
    one, two, other = a_run(SECOND, 1), a_run(SECOND, 2), a_run(twin)
    attempts = attempts_of(plan, [one, other, two])
    assert set(attempts) == set(SMALL.cells())
    assert attempts[SECOND] == [one, two]
    assert sum(map(len, attempts.values())) == 2


def test_of_a_run_that_was_measured_twice_what_tells_most_counts() -> None:
    valid = a_run(FIRST, 1)
    assert attempts_of(SMALL, [a_run(FIRST, 1, failed=True), valid])[FIRST] == [valid]


def test_runs_that_are_missing_get_their_numbers() -> None:
    there = [a_run(run=1), a_run(run=3)]
    assert free_runs(there, 4) == [2, 4]
    assert free_runs(there, 1) == []
    assert free_runs([], 2) == [1, 2]


# What they say.


def test_only_valid_runs_with_a_figure_say_something() -> None:
    runs = [a_run(rps=50.0), a_run(rps=0.0), a_run(failed=True)]
    assert logs_of(THROUGHPUT, runs) == pytest.approx([log(50)])
    assert mean_of(np.array([1.0, 3.0])) == 2.0
    assert mean_of(np.empty(0)) == -inf


def test_two_runs_without_a_figure_are_hopeless() -> None:
    assert not is_hopeless([a_run(failed=True)], THROUGHPUT)
    assert is_hopeless([a_run(failed=True)] * 2, THROUGHPUT)
    assert not is_hopeless([a_run(failed=True), a_run()], THROUGHPUT)
    assert why_hopeless([a_run()] * 3, THROUGHPUT) == "no throughput in 3 runs"


def test_a_lone_run_is_as_far_off_as_those_of_all_cells_are_from_their_means() -> None:
    logs = {FIRST: np.array([1.0, 3.0]), SECOND: np.array([5.0])}
    t = 6.314  # what 5 % are above, by Student's distribution with a degree of freedom
    assert margin_of_one(logs, 0.05) == pytest.approx(t * sqrt(2), rel=1e-3)
    more = {FIRST: np.array([1.0, 3.0]), SECOND: np.array([5.0, 6.0, 7.0])}
    assert margin_of_one(more, 0.05) == pytest.approx(2.353 * sqrt(4 / 3), rel=1e-3)  # with three
    assert margin_of_one({FIRST: np.array([1.0]), SECOND: np.array([5.0])}, 0.05) == inf


def test_in_so_many_ways_the_best_can_be_lost() -> None:
    """Of 6 cells to 5 others; with a bound to 5 that seem to keep it, and by its own seeming to break it."""
    assert comparisons(SMALL, THROUGHPUT) == 5
    assert comparisons(SMALL, BOUNDED) == 5 + 6
    alone = replace(SMALL, workers=(1,), batch_size=(8,))
    assert comparisons(alone, THROUGHPUT) == 1
    assert comparisons(alone, BOUNDED) == 1 + 2


@pytest.mark.parametrize(("contenders", "sure"), [((), True), ((FIRST,), True), ((FIRST, SECOND), False)])
def test_it_is_sure_where_one_is_left_or_none(contenders: tuple[Cell, ...], sure: bool) -> None:
    assert Standing(contenders, {}).sure == sure


# Who leads.


def led(goal: str, *runs: TrialResult) -> list[Cell]:
    attempts = attempts_of(SMALL, runs)
    return list(leader_first(Standing((FIRST, SECOND), {}), attempts, goal_from(goal)).contenders)


def test_the_larger_median_leads_and_who_has_none_comes_last() -> None:
    runs = [a_run(FIRST, 1, 100), a_run(SECOND, 1, 90), a_run(SECOND, 2, 110), a_run(SECOND, 3, 120)]
    assert led("throughput", *runs) == [SECOND, FIRST]
    assert led("throughput", *runs[:2]) == [FIRST, SECOND]
    assert led("throughput", a_run(SECOND, 1, 0.5)) == [SECOND, FIRST]


def test_whose_median_keeps_the_bounds_comes_before_who_is_faster() -> None:
    fast, slow = (
        a_run(FIRST, 1, 200, p50_ms=20.0),
        a_run(SECOND, 1, 100, p50_ms=19.9),
    )  # p99 is three times p50
    assert led("throughput with p99<60ms", fast, slow) == [SECOND, FIRST]
    assert led("throughput with p99<61ms", fast, slow) == [FIRST, SECOND]
    assert led("throughput with p99<60ms", a_run(SECOND, 1, 100)) == [SECOND, FIRST]


# What they take.


def test_a_run_takes_its_warm_up_and_its_window() -> None:
    """Of 1.5 s and 4 s."""
    assert measuring_time_s([a_run(), a_run()]) == 11.0
    assert expected_s(SMALL, [], FIRST) == 5.5


def test_where_requests_are_counted_it_takes_as_long_as_the_last_one() -> None:
    plan = replace(SMALL, duration_s=None, requests=50)
    long, short = replace(a_run(), window_s=9.0), replace(a_run(), window_s=2.0)
    assert (
        expected_s(plan, [long, long, short], FIRST) == measuring_time_s([short]) < measuring_time_s([long])
    )
    assert expected_s(plan, [], FIRST) == 0
