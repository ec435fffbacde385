"""The best of a predicted grid, what can't be told from it, and what no prediction tells of."""

from dataclasses import replace

import pytest

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Cell, Plan, goal_from
from experiments.predict.best import best, check_goal, interval
from experiments.predict.predicted import Predicted

CELLS = Plan(model="bert", workers=(1, 2), batch_size=(1, 8)).cells()


def a_prediction(rps: float, p99_ms: float = 10.0, log_sd: float = 0.01) -> Predicted:
    return Predicted(rps, p99_ms / 2, p99_ms, p99_ms, 1.0, log_sd)


def a_grid(*rps: float, log_sd: float = 0.01) -> dict[Cell, Predicted]:
    found = [a_prediction(each, 10 * number, log_sd) for number, each in enumerate(rps, start=1)]
    return dict(zip(CELLS, found, strict=False))


def test_the_most_requests_a_second_and_its_rivals() -> None:
    found = best(a_grid(100, 150, 149, 80), goal_from("throughput"))
    assert found.cell == CELLS[1]
    assert found.rivals == (CELLS[2],)


def test_of_cells_that_are_alike_the_first_of_the_plan_goes_first() -> None:
    assert best(a_grid(100, 150, 150.01, 80), goal_from("throughput")).cell == CELLS[1]


def test_bounds_are_kept() -> None:
    found = best(a_grid(100, 150, 149, 80), goal_from("throughput with p99<15ms"))
    assert found.cell == CELLS[0]
    assert found.rivals == ()


def test_where_no_cell_keeps_them_it_says_so() -> None:
    with pytest.raises(ExperimentError, match="no cell of the plan meets"):
        best(a_grid(100, 150), goal_from("p99<1ms"))


def test_what_no_prediction_tells_of_is_refused() -> None:
    for goal in ("requests per joule", "memory<8GiB"):
        with pytest.raises(UsageError, match="tells nothing of"):
            best(a_grid(100), goal_from(goal))


def test_the_interval_holds_nine_tenths_of_a_lognormal() -> None:
    low, high = interval(a_prediction(100, log_sd=0.1))
    assert low < 100 < high
    assert low * high == pytest.approx(100**2)
    assert high == pytest.approx(117.9, rel=1e-3)


def test_as_much_within_a_thousandth_is_alike_and_no_more() -> None:
    assert best(a_grid(100, 100.09), goal_from("throughput")).cell == CELLS[0]
    assert best(a_grid(1, 1.001), goal_from("throughput")).cell == CELLS[0]
    assert best(a_grid(100, 100.11), goal_from("throughput")).cell == CELLS[1]


def test_a_twin_is_never_the_best_nor_a_rival() -> None:
    grid = a_grid(100, 150)
    found = best({**grid, replace(CELLS[1], twin=True): a_prediction(160)}, goal_from("throughput"))
    assert (found.cell, found.rivals) == (CELLS[1], ())


def test_inputs_count_not_requests() -> None:
    several = replace(CELLS[0], client_batch=2)
    found = best({CELLS[0]: a_prediction(150), several: a_prediction(80)}, goal_from("throughput"))
    assert (found.cell, found.predicted) == (several, a_prediction(80))


def test_a_bound_that_is_just_reached_is_not_kept() -> None:
    assert best(a_grid(100, 150), goal_from("throughput with p99<20ms")).cell == CELLS[0]
    assert best(a_grid(100, 150), goal_from("throughput with p50<11ms")).cell == CELLS[1]


def test_a_rival_is_apart_by_less_than_both_are_unsure_of() -> None:
    """By 1.645 times the root of the sum of squares: 4.76 % where each is unsure of 2 %."""
    assert best(a_grid(100, 104.7, log_sd=0.02), goal_from("throughput")).rivals == (CELLS[0],)
    assert best(a_grid(100, 104.8, log_sd=0.02), goal_from("throughput")).rivals == ()
    assert best(a_grid(100, 100, log_sd=0.0), goal_from("throughput")).rivals == ()
    unsure = {CELLS[0]: a_prediction(100, log_sd=0.03), CELLS[1]: a_prediction(106, log_sd=0.02)}
    assert best(unsure, goal_from("throughput")).rivals == (CELLS[0],)


def test_bounds_of_what_is_predicted_are_taken_others_are_named() -> None:
    check_goal(goal_from("throughput with p50<5ms and p95<8ms and p99<9ms"))
    with pytest.raises(UsageError, match="tells nothing of memory: bound p50, p95 or p99, or measure"):
        check_goal(goal_from("throughput with memory<8GiB"))
