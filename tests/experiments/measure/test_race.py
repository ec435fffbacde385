"""The race for the best configuration: who runs next, who is out, and how often that is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.measure.race import Rules, Standing, decision, measuring_time_s, next_runs, replay, standing
from experiments.plan import Cell, Plan, Trial, goal_from
from experiments.results.trial_result import TrialResult
from tests.support.builders import a_result

Speeds = Mapping[Cell, Sequence[float]]

# As long as the results of tests/builders.py, whose windows are of 4 s.
SMALL = Plan(workers=(1, 2), batch_size=(1, 4, 8), runs=5, duration_s=4.0, warm_up_s=1.5, noise_floor=False)
GRID = replace(SMALL, workers=(1, 2, 4), batch_size=(1, 2, 4, 8, 16, 32, 64, 128))
NOISE = 0.03


def speeds_of(plan: Plan, truth_rps: Sequence[float], noise: float = NOISE, seed: int = 0) -> Speeds:
    """Throughputs of more runs than any race takes, with log-normal noise, in the order of plan.cells()."""
    factors = np.exp(noise * np.random.default_rng(seed).standard_normal((len(truth_rps), 12)))
    return {cell: rps * own for cell, rps, own in zip(plan.cells(), truth_rps, factors, strict=True)}


def measured(trial: Trial, speeds: Speeds) -> TrialResult:
    return a_result(trial, speeds[trial.cell][trial.run - 1])


def recorded(plan: Plan, speeds: Speeds) -> list[TrialResult]:
    """The full grid."""
    return [measured(trial, speeds) for trial in plan.trials()]


def race(plan: Plan, speeds: Speeds, rules: Rules, trials_at_once: int = 1000) -> list[TrialResult]:
    """Measures what is asked for, asking again after so many trials, until nothing is."""
    results: list[TrialResult] = []
    while wanted := next_runs(plan, results, rules):
        results += [measured(trial, speeds) for trial in wanted[:trials_at_once]]
    return results


def keys(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    return [(cell.workers, cell.batch_size) for cell in cells]


# Rounds


def test_at_first_every_cell_gets_a_run_those_of_one_server_together() -> None:
    trials = next_runs(SMALL, [])
    assert {trial.cell for trial in trials} == set(SMALL.cells())
    assert {trial.run for trial in trials} == {1}
    assert [trial.position for trial in trials] == list(range(6))
    assert [trial.cell for trial in trials] == list(dict.fromkeys(trial.cell for trial in SMALL.trials()))


def test_then_the_better_half_gets_a_second_one_on_the_way_back() -> None:
    speeds = speeds_of(SMALL, [10, 20, 30, 40, 50, 60])
    first = [measured(trial, speeds) for trial in next_runs(SMALL, [])]
    second = next_runs(SMALL, first)
    assert sorted(keys([trial.cell for trial in second])) == [(2, 1), (2, 4), (2, 8)]
    there = [result.trial.cell for result in first]
    assert [trial.cell for trial in second] == [cell for cell in reversed(there) if cell.workers == 2]
    assert [trial.position for trial in second] == [6, 7, 8]


def test_a_cell_far_behind_needs_no_second_run_and_a_near_one_does() -> None:
    speeds = speeds_of(SMALL, [50, 75, 96, 98, 100, 99], noise=0.01)
    results = race(SMALL, speeds, Rules(most_runs=5))
    runs = {key: sum(keys([r.trial.cell]) == [key] for r in results) for key in keys(SMALL.cells())}
    assert runs[1, 1] == 1  # half as fast as the best
    assert runs[1, 4] == 2  # three quarters: two runs show that
    assert runs[2, 4] == 5


def test_the_race_ends_when_one_is_left_and_the_winner_gets_all_its_runs() -> None:
    speeds = speeds_of(SMALL, [50, 60, 70, 75, 100, 80], noise=0.005)
    results = race(SMALL, speeds, Rules())
    end = standing(SMALL, results)
    assert end.sure
    assert keys(end.contenders) == [(2, 4)]
    assert sum(result.trial.cell == end.contenders[0] for result in results) == SMALL.runs
    assert set(end.ruled_out) == set(SMALL.cells()) - set(end.contenders)
    assert set(end.ruled_out.values()) == {"slower than bert, 2 workers, batch size 4"}


def test_what_cannot_be_told_apart_is_run_to_the_most_and_stays() -> None:
    speeds = speeds_of(SMALL, [50, 60, 70, 75, 100, 100], noise=0.02)
    results = race(SMALL, speeds, Rules(most_runs=7))
    end = standing(SMALL, results, Rules(most_runs=7))
    assert not end.sure
    assert sorted(keys(end.contenders)) == [(2, 4), (2, 8)]
    assert [result.trial.cell for result in results].count(end.contenders[1]) == 7


def test_a_single_configuration_wins_at_once_and_gets_its_runs() -> None:
    plan = Plan(workers=(1,), batch_size=(8,), runs=3, noise_floor=False)
    assert len(race(plan, speeds_of(plan, [100]), Rules())) == 3


truths = st.lists(st.floats(10, 100), min_size=6, max_size=6)


@pytest.mark.thorough
@settings(max_examples=25)
@given(truths, st.integers(0, 1000), st.integers(1, 6))
def test_asked_after_every_trial_or_once_a_round_the_race_is_the_same(
    truth: list[float], seed: int, most_runs: int
) -> None:
    speeds, rules = speeds_of(SMALL, truth, seed=seed), Rules(most_runs=most_runs)
    by_round = race(SMALL, speeds, rules)
    assert race(SMALL, speeds, rules, trials_at_once=1) == by_round
    assert [result.trial.position for result in by_round] == list(range(len(by_round)))
    visits = [(result.trial.cell, result.trial.run) for result in by_round]
    assert len(set(visits)) == len(visits)
    assert max(run for _, run in visits) <= max(most_runs, SMALL.runs)
    assert next_runs(SMALL, by_round, rules) == []


@pytest.mark.thorough
@settings(max_examples=40)
@given(st.floats(0, 300))
def test_a_budget_is_kept(budget_s: float) -> None:
    speeds = speeds_of(SMALL, [100] * 6)
    results = race(SMALL, speeds, Rules(budget_s=budget_s))
    assert measuring_time_s(results) <= budget_s
    assert len(results) == min(60, int(budget_s / 5.5))  # 1.5 s of warm-up and 4 s each


def test_where_requests_are_counted_a_run_is_expected_to_last_as_long_as_the_one_before() -> None:
    plan = replace(SMALL, duration_s=None, requests=1000)
    results = race(plan, speeds_of(plan, [100] * 6), Rules(budget_s=100), trials_at_once=1)
    assert 95 < measuring_time_s(results) <= 100


# What rules a cell out


def test_one_disturbed_run_rules_nothing_out() -> None:
    speeds = {cell: list(own) for cell, own in speeds_of(SMALL, [100, 90, 80, 80, 80, 80], 0.01).items()}
    best = SMALL.cells()[0]
    for disturbed in range(5):
        slowed = speeds | {best: [rps * (0.7 if i == disturbed else 1) for i, rps in enumerate(speeds[best])]}
        assert best in standing(SMALL, race(SMALL, slowed, Rules())).contenders


def test_a_cell_whose_runs_all_fail_is_out_after_two() -> None:
    speeds = speeds_of(SMALL, [100, 99, 98, 97, 96, 95])
    results: list[TrialResult] = []
    broken = SMALL.cells()[0]
    while wanted := next_runs(SMALL, results, Rules(most_runs=4)):
        results += [
            a_result(trial, 0.0, problems=["a worker died"])
            if trial.cell == broken
            else measured(trial, speeds)
            for trial in wanted
        ]
    assert [result.trial.cell for result in results].count(broken) == 2
    assert standing(SMALL, results, Rules(most_runs=4)).ruled_out[broken] == "no throughput in 2 runs"


def test_a_bound_rules_out_what_surely_breaks_it_and_the_fastest_of_the_others_wins() -> None:
    rules = Rules(goal=goal_from("throughput with p99<100ms"), most_runs=5)
    speeds = speeds_of(SMALL, [50, 60, 70, 80, 90, 100], noise=0.01)
    jitter = np.random.default_rng(5)

    def with_latency(trial: Trial) -> TrialResult:
        p50_ms = 6 * trial.cell.batch_size * np.exp(0.02 * jitter.standard_normal())  # p99 is three times it
        return a_result(trial, speeds[trial.cell][trial.run - 1], p50_ms=p50_ms)

    results: list[TrialResult] = []
    while wanted := next_runs(SMALL, results, rules):
        results += [with_latency(trial) for trial in wanted]
    end = standing(SMALL, results, rules)
    assert keys(end.contenders) == [(2, 4)]
    assert end.ruled_out[SMALL.cells()[5]] == "surely breaks p99<100ms"
    assert len(results) < 25


def test_a_goal_that_nothing_meets_ends_the_race_with_nobody() -> None:
    rules = Rules(goal=goal_from("p99<1ms"), most_runs=5)
    end = standing(SMALL, race(SMALL, speeds_of(SMALL, [100] * 6), rules), rules)
    assert end == Standing((), dict.fromkeys(SMALL.cells(), "surely breaks p99<1ms"))


# Known truth

ALIKE = [100.1, *[100] * 23]
SPREAD = [*np.linspace(5, 60, 8), *np.linspace(10, 80, 8), *np.linspace(15, 100, 8)]
CLOSE = [*np.linspace(70, 72, 8), *np.linspace(90, 65, 8), *np.linspace(100, 61, 8)]


def test_the_truth_known_of_all_runs_decides_like_the_race() -> None:
    full = decision(GRID, recorded(GRID, speeds_of(GRID, SPREAD, noise=0.01)))
    assert keys(full.contenders) == [(4, 128)]


@pytest.mark.thorough
@pytest.mark.parametrize("truth_rps", [SPREAD, CLOSE], ids=["spread", "close"])
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_race_decides_as_the_full_grid_does_in_half_of_its_time(
    truth_rps: Sequence[float], noise: float
) -> None:
    replays = [replay(GRID, recorded(GRID, speeds_of(GRID, truth_rps, noise, seed))) for seed in range(12)]
    assert all(each.agrees for each in replays)
    assert np.mean([each.measuring_s / each.full_measuring_s for each in replays]) <= 0.5
    assert all(each.full_runs == 120 and each.full_measuring_s == 120 * 5.5 for each in replays)
    assert all(each.measuring_s == each.runs * 5.5 for each in replays)


def errors(plan: Plan, truth_rps: Sequence[float], noise: float, races: int) -> float:
    """The share of races that rule out the first cell."""
    rules = Rules(most_runs=plan.runs)
    best = plan.cells()[0]
    lost = [
        best
        not in replay(plan, recorded(plan, speeds_of(plan, truth_rps, noise, seed)), rules).race.contenders
        for seed in range(races)
    ]
    return float(np.mean(lost))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("workers", "truth_rps", "races"),
    [((1, 2), [100.1, 100], 200), ((1, 2, 4), [101, 100, 99], 100)],
    ids=["two", "three"],
)
def test_the_best_is_ruled_out_in_at_most_5_percent_of_races(
    workers: tuple[int, ...], truth_rps: Sequence[float], races: int
) -> None:
    plan = Plan(workers=workers, batch_size=(1,), runs=8, noise_floor=False)
    assert errors(plan, truth_rps, NOISE, races) <= 0.05


@pytest.mark.thorough
def test_nor_among_24_that_are_alike() -> None:
    assert errors(GRID, ALIKE, NOISE, races=60) <= 0.05


def test_the_twin_of_a_cell_does_not_race() -> None:
    plan = Plan(workers=(1, 2), batch_size=(1,), runs=5)
    assert all(not trial.cell.twin for trial in next_runs(plan, []))


def test_a_run_that_was_taken_out_of_the_file_is_asked_for_again_not_twice_the_same() -> None:
    speeds = speeds_of(SMALL, [100, 100, 100, 100, 100, 100])
    results = race(SMALL, speeds, Rules())
    without = [result for result in results if (result.trial.cell, result.trial.run) != (SMALL.cells()[0], 1)]
    asked = [(trial.cell, trial.run) for trial in next_runs(SMALL, without)]
    assert (SMALL.cells()[0], 1) in asked
    assert not {(result.trial.cell, result.trial.run) for result in without} & set(asked)
