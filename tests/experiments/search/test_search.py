"""The search for the best cell: what comes next, when it ends, and why the rest can't be better."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.plan import Cell, Plan, goal_from
from experiments.results import TrialResult
from experiments.search import Done, Rules, next_cell, next_runs, outcome
from experiments.search.evidence import measuring_time_s
from tests.experiments.search.grids import (
    GRID,
    SMALL,
    cells_of,
    measured,
    predicting,
    searched,
    served_rps,
)
from tests.support.builders import a_result

seeds = st.integers(0, 1000)


def regret(plan: Plan, chosen: Cell) -> float:
    return 1 - served_rps(chosen) / max(map(served_rps, plan.cells()))


# What comes next


def test_with_a_prediction_the_best_by_it_is_measured_first() -> None:
    first = next_cell(GRID, [], predicting(served_rps))
    assert first == max(GRID.cells(), key=served_rps)


def test_without_one_a_cell_from_the_middle_is() -> None:
    first = next_cell(GRID, [])
    assert isinstance(first, Cell)
    assert first.batch_size in (4, 8)
    assert first.batch_delay_ms in (5, 20)


def test_a_run_follows_the_runs_that_are_there_and_is_one_trial() -> None:
    (first,) = next_runs(GRID, [])
    assert (first.run, first.position, first.load) == (1, 0, GRID.load_of(first.cell))
    results, _ = searched(GRID)
    assert [result.trial.position for result in results] == list(range(len(results)))
    visits = [(result.trial.cell, result.trial.run) for result in results]
    assert len(set(visits)) == len(visits)


@pytest.mark.thorough
def test_what_comes_next_depends_on_the_results_alone() -> None:
    results, _ = searched(GRID)
    for count in range(0, len(results), 3):
        assert next_cell(GRID, results[:count]) == results[count].trial.cell


def test_a_cell_that_keeps_failing_is_out_after_two_runs() -> None:
    broken = max(SMALL.cells(), key=served_rps)
    results: list[TrialResult] = []
    while trials := next_runs(SMALL, results, predicting(served_rps)):
        results += [
            a_result(trial, 0.0, problems=["a worker died"])
            if trial.cell == broken
            else measured(trial, served_rps, 0.01, 0)
            for trial in trials
        ]
    assert sum(result.trial.cell == broken for result in results) == 2
    end = outcome(SMALL, results, predicting(served_rps))
    assert end.standing.ruled_out[broken] == "no throughput in 2 runs"
    assert end.standing.contenders[0] != broken


def test_a_run_that_was_disturbed_says_nothing_of_other_cells() -> None:
    results, _ = searched(GRID)
    best = max(GRID.cells(), key=served_rps)
    quiet = [result for result in results if result.trial.cell != best]
    disturbed = [
        replace(result, throughput_rps=0.2 * result.throughput_rps, disturbances=("other programs",))
        for result in results
        if result.trial.cell == best
    ][:1]
    assert best in outcome(GRID, [*quiet, *disturbed]).standing.contenders


# When it ends


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(8))
def test_it_finds_the_best_or_nearly_so_in_a_fraction_of_the_grid(seed: int) -> None:
    results, end = searched(GRID, noise=0.02, seed=seed)
    assert regret(GRID, end.standing.contenders[0]) < 0.05
    assert len(results) < 0.25 * len(GRID.trials())


@pytest.mark.parametrize("seed", range(8))
def test_a_prediction_that_is_a_factor_off_saves_most_of_that(seed: int) -> None:
    off = predicting(served_rps, off={1: 1.3, 2: 1.2})
    results, end = searched(GRID, noise=0.02, seed=seed, predictor=off)
    assert regret(GRID, end.standing.contenders[0]) < 0.05
    assert len(results) < 0.1 * len(GRID.trials())


@pytest.mark.thorough
def test_a_prediction_that_misleads_is_corrected_by_what_is_measured() -> None:
    misleading = predicting(served_rps, off={1: 1.6, 2: 0.8}, log_sd=0.3)  # one worker would be the best
    _, end = searched(GRID, noise=0.02, predictor=misleading)
    assert end.standing.contenders[0].workers == 2


def test_the_winner_has_as_many_runs_as_in_a_full_grid() -> None:
    results, end = searched(GRID)
    winner = end.standing.contenders[0]
    assert sum(result.trial.cell == winner for result in results) >= GRID.runs


@pytest.mark.thorough
def test_it_tells_how_many_it_never_measured_and_why_they_cannot_be_better() -> None:
    results, end = searched(GRID)
    found = next_cell(GRID, results)
    assert isinstance(found, Done)
    assert found.reason == "nothing that is left can be better by more than is worth finding"
    never = set(GRID.cells()) - set(cells_of(results))
    assert set(end.never_measured) == never
    assert never <= set(found.ruled_out)
    assert {found.ruled_out[cell].split(" than ")[0] for cell in never} == {
        "never measured: by what the others show, slower"
    }
    assert 1.02 <= end.worth <= 1.05
    assert not end.open


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0.005, 0.1), st.booleans())
def test_when_it_is_over_it_asks_for_nothing_and_its_leader_was_measured(
    seed: int, noise: float, predicted: bool
) -> None:
    predictor = predicting(served_rps) if predicted else None
    results, end = searched(SMALL, noise=noise, seed=seed, predictor=predictor)
    assert end.next_cell is None
    assert next_runs(SMALL, results, predictor) == []
    assert end.standing.contenders[0] in cells_of(results)
    assert set(end.standing.contenders) | set(end.standing.ruled_out) == set(SMALL.cells())
    assert not set(end.standing.contenders) & set(end.standing.ruled_out)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_best_of_a_grid_measured_to_its_end_is_the_grids(seed: int) -> None:
    rules = Rules(most_runs=SMALL.runs)
    results = [measured(trial, served_rps, 0.02, seed) for trial in SMALL.trials()]
    end = outcome(SMALL, results, None, rules)
    medians = {
        cell: np.median([each.throughput_rps for each in results if each.trial.cell == cell])
        for cell in SMALL.cells()
    }
    assert end.next_cell is None
    assert end.standing.contenders[0] == max(medians, key=lambda cell: medians[cell])


@pytest.mark.thorough
@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0, 120))
def test_a_budget_is_kept(seed: int, budget_s: float) -> None:
    results, end = searched(GRID, seed=seed, rules=Rules(budget_s=budget_s))
    assert measuring_time_s(results) <= budget_s
    assert end.next_cell is None


def test_with_too_small_a_budget_it_says_what_may_still_be_better() -> None:
    results, end = searched(GRID, rules=Rules(budget_s=12.0))
    assert end.reason == "the budget of 12 s is spent"
    assert len(results) == 2
    assert end.open


# Goals and axes


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_a_bound_is_kept_by_what_it_finds(seed: int) -> None:
    goal = goal_from("throughput with p99<200ms")  # p99 is three times p50 in these results
    _, end = searched(GRID, noise=0.02, seed=seed, rules=Rules(goal))
    best = end.standing.contenders[0]

    def p99_ms(cell: Cell) -> float:
        return 3e3 * GRID.load_of(cell).connections / served_rps(cell)

    keeping = [cell for cell in GRID.cells() if p99_ms(cell) < 200]
    assert p99_ms(best) < 200 * 1.03
    assert served_rps(best) > 0.93 * max(map(served_rps, keeping))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_a_cell_that_breaks_a_bound_by_the_median_of_its_runs_gets_no_more_of_them(seed: int) -> None:
    best = max(SMALL.cells(), key=served_rps)
    p99_ms = 3e3 * SMALL.load_of(best).connections / served_rps(best)
    rules = Rules(goal_from(f"throughput with p99<{p99_ms:.3f}ms"))  # as likely kept as broken
    results, _ = searched(SMALL, noise=0.1, seed=seed, rules=rules)
    told_ms = [result.latency_ms["p99"] for result in results if result.trial.cell == best]
    breaks = np.median(told_ms[: SMALL.runs]) >= p99_ms
    assert len(told_ms) <= SMALL.runs or not breaks


def test_where_nothing_keeps_the_bounds_it_ends_with_nobody() -> None:
    goal = goal_from("p99<1ms")
    results, end = searched(GRID, rules=Rules(goal))
    assert end.reason == "nothing keeps the bounds"
    assert end.standing.contenders == ()
    assert len(results) < len(GRID.cells())


def test_names_are_axes_like_numbers() -> None:
    plan = replace(
        SMALL, engine=("torch", "onnxruntime"), precision=("fp32", "int8"), server=("torchserve", "triton")
    )
    speed = {("torch", "fp32"): 1.0, ("onnxruntime", "fp32"): 1.3, ("onnxruntime", "int8"): 2.0}

    def truth(cell: Cell) -> float:
        server = {"torchserve": 1.0, "triton": 1.1}[cell.server]
        return served_rps(cell) * speed[str(cell.engine), str(cell.precision)] * server

    results, end = searched(plan, truth, noise=0.01)
    best = end.standing.contenders[0]
    assert truth(best) > 0.95 * max(map(truth, plan.cells()))
    assert len(cells_of(results)) < len(plan.cells())


def test_one_cell_is_found_at_once_and_gets_its_runs() -> None:
    plan = replace(SMALL, workers=(1,), batch_size=(8,))
    results, end = searched(plan)
    assert len(results) == plan.runs
    assert end.standing.sure


def test_the_twin_is_never_asked_for() -> None:
    results, _ = searched(replace(SMALL, noise_floor=True))
    assert not any(cell.twin for cell in cells_of(results))


def test_with_shares_and_mps_too() -> None:
    plan = replace(SMALL, with_mps=True, thread_percentage=(25, 50, 100), memory_limit_mib=(2048, 4096))

    def truth(cell: Cell) -> float:
        share = (cell.thread_percentage or 100) / 100
        return served_rps(cell) * (1.2 * share**0.3 if cell.mps else 1.0)

    _, end = searched(plan, truth, noise=0.01)
    assert truth(end.standing.contenders[0]) > 0.95 * max(map(truth, plan.cells()))
