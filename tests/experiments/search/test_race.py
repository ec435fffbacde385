"""The race for the best configuration: who runs next, who is out, and how often that is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from experiments.plan import Cell, Plan, Trial, goal_from
from experiments.results.trial_result import TrialResult
from experiments.search.evidence import Standing, measuring_time_s
from experiments.search.race import Replay, decision, next_runs, replay, standing
from experiments.search.rules import Rules, rules_of
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


def test_a_cell_whose_first_run_failed_is_not_of_the_better_half() -> None:
    speeds = speeds_of(SMALL, [10, 20, 30, 40, 50, 60])
    first = [measured(trial, speeds) for trial in next_runs(SMALL, [])]
    fastest = SMALL.cells()[-1]
    failed = [
        a_result(r.trial, 0.0, problems=["a worker died"]) if r.trial.cell == fastest else r for r in first
    ]
    assert sorted(keys([trial.cell for trial in next_runs(SMALL, failed)])) == [(1, 8), (2, 1), (2, 4)]


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


# How far apart is far enough

SPREAD_OUT = np.array([-1.0, 1.0, -0.5, 0.5, 0.0])  # the runs of each cell, around its mean
SIGMA = sqrt(2.5 / 4)  # of one run, as five runs of any number of cells tell it
NOISE_OF_RUNS = 0.01


def grid_of(cells: int) -> Plan:
    return replace(SMALL, workers=tuple(range(1, cells + 1)), batch_size=(1,))


def runs_around(plan: Plan, means: Sequence[float]) -> Speeds:
    """Five runs of each cell, their logs so many times the noise away from each other."""
    logs = [mean + SPREAD_OUT for mean in means]
    return {cell: 100 * np.exp(NOISE_OF_RUNS * own) for cell, own in zip(plan.cells(), logs, strict=True)}


def just_enough(cells: int, comparisons: int) -> float:
    """Student's margin to one side at 5 % in all, for the mean of five runs, in units of the noise."""
    return float(student.ppf(1 - 0.05 / comparisons, 4 * cells)) * SIGMA * sqrt(1 / 5)


@pytest.mark.parametrize(("cells", "looks"), [(2, 1), (3, 1), (4, 1), (2, 5), (3, 5)])
@pytest.mark.parametrize(("factor", "out"), [(0.99, False), (1.01, True)])
def test_the_chance_to_be_wrong_is_shared_by_all_others_and_all_looks(
    cells: int, looks: int, factor: float, out: bool
) -> None:
    """A full grid is looked at once, a race of five rounds five times, so it needs a larger difference."""
    plan = grid_of(cells)
    # The slowest of its runs does not count, which makes its mean a quarter more.
    behind = factor * just_enough(cells, looks * (cells - 1)) * sqrt(2) + 0.25
    results = recorded(plan, runs_around(plan, [0.0] * (cells - 1) + [-behind]))
    decided = decision(plan, results) if looks == 1 else standing(plan, results, Rules(most_runs=looks))
    assert (plan.cells()[-1] not in decided.contenders) == out
    assert len(decided.contenders) == cells - out


@pytest.mark.parametrize(("factor", "out"), [(0.99, False), (1.01, True)])
def test_of_two_runs_the_slower_does_not_count_either(factor: float, out: bool) -> None:
    plan = replace(grid_of(2), runs=2)
    sigma = sqrt(2)  # of a run, from two pairs at -1 and 1
    behind = factor * float(student.ppf(0.95, 2)) * sigma * sqrt(1 / 2 + 1 / 2) + 1
    decided = decision(plan, recorded(plan, runs_around(plan, [0.0, -behind])))
    assert (len(decided.contenders) == 1) == out


def test_a_replay_has_the_runs_of_the_plan_unless_told_otherwise() -> None:
    plan = grid_of(2)
    behind = 1.01 * just_enough(2, comparisons=5) * sqrt(2) + 0.25  # enough for five looks, not for ten
    results = recorded(plan, runs_around(plan, [0.0, -behind]))
    assert len(replay(plan, results).race.contenders) == 1
    assert len(replay(plan, results, Rules(most_runs=10)).race.contenders) == 2


def with_latencies(plan: Plan, speeds: Speeds, p99_ms: Speeds, runs: int = 5) -> list[TrialResult]:
    trials = [trial for trial in plan.trials() if trial.run <= runs]
    return [
        a_result(
            trial, speeds[trial.cell][trial.run - 1], p50_ms=float(p99_ms[trial.cell][trial.run - 1] / 3)
        )
        for trial in trials
    ]


BOUNDED = Rules(goal=goal_from("throughput with p99<100ms"), most_runs=5)


@pytest.mark.parametrize(("cells", "comparisons"), [(2, 1 + 2), (3, 2 + 3)])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_by_every_other_and_by_each_bound_of_every_cell(cells: int, comparisons: int, factor: float) -> None:
    """Runs of the same speed, whose latencies are around the bound: the last cell's above it, or below."""
    plan = grid_of(cells)
    away = factor * just_enough(cells, comparisons)
    alike = runs_around(plan, [0.0] * cells)
    above = decision(
        plan, with_latencies(plan, alike, runs_around(plan, [0.0] * (cells - 1) + [away])), BOUNDED
    )
    assert above.ruled_out == ({plan.cells()[-1]: "surely breaks p99<100ms"} if factor > 1 else {})
    # Only what surely keeps the bound rules others out by its speed.
    faster = runs_around(plan, [0.0] * (cells - 1) + [100.0])
    below = decision(
        plan, with_latencies(plan, faster, runs_around(plan, [0.0] * (cells - 1) + [-away])), BOUNDED
    )
    assert (len(below.contenders) == 1) == (factor > 1)


def test_where_nothing_varies_equal_cells_stay_and_a_latency_at_the_bound_neither_keeps_nor_breaks_it() -> (
    None
):
    plan = replace(grid_of(2), runs=2)
    flat = {cell: [rps] * 2 for cell, rps in zip(plan.cells(), (1.0, 1.0), strict=True)}
    assert len(decision(plan, recorded(plan, flat)).contenders) == 2
    apart = {cell: [rps] * 2 for cell, rps in zip(plan.cells(), (1.0, 0.5), strict=True)}
    at_the_bound = Rules(goal=goal_from("p99<3ms"))
    stays = decision(
        plan, [a_result(r.trial, r.throughput_rps, 1.0) for r in recorded(plan, apart)], at_the_bound
    )
    assert stays.ruled_out == {}


@pytest.mark.parametrize(("factor", "out"), [(1.49, False), (1.52, True)])
def test_a_lone_run_rules_its_cell_out_when_the_leader_is_half_as_fast_again(
    factor: float, out: bool
) -> None:
    truth = [100, 100 / factor, 60, 99, 98, 97]
    results = race(SMALL, speeds_of(SMALL, truth, noise=0.0001), Rules(most_runs=2))
    lone = SMALL.cells()[1]
    assert ([result.trial.cell for result in results].count(lone) == 1) == out


def test_a_lone_run_does_not_break_a_bound_and_two_do() -> None:
    speeds = speeds_of(SMALL, [60, 61, 62, 98, 99, 100], noise=0.01)
    latencies = {cell: [1000.0] * 12 if cell in SMALL.cells()[:1] else [10.0, 10.1] * 6 for cell in speeds}
    first = with_latencies(SMALL, speeds, latencies, runs=1)
    lone = SMALL.cells()[0]
    twice = {*SMALL.cells()[3:]}
    second = [each for each in with_latencies(SMALL, speeds, latencies, runs=2)[:] if each.trial.run == 2]
    upper = [each for each in second if each.trial.cell in twice]
    assert standing(SMALL, [*first, *upper], BOUNDED).ruled_out.get(lone, "") != "surely breaks p99<100ms"
    everyone = decision(SMALL, [*first, *second], BOUNDED)
    assert everyone.ruled_out[lone] == "surely breaks p99<100ms"


# Who leads


def test_the_leader_is_the_fastest_whose_median_is_below_the_bound_and_never_one_without_figures() -> None:
    plan = replace(grid_of(3), runs=2)
    speeds = dict(zip(plan.cells(), (100.0, 90.0, 80.0), strict=True))
    # The first is at the bound, not below it.
    p99_ms = dict(zip(plan.cells(), (100.0, 99.0, 50.0), strict=True))
    results = [a_result(trial, speeds[trial.cell], p50_ms=p99_ms[trial.cell] / 3) for trial in plan.trials()]
    once = [result for result in results if result.trial.run == 1]
    assert [cell.workers for cell in standing(plan, once, BOUNDED).contenders] == [2, 3, 1]
    failed = [
        a_result(r.trial, 500.0, problems=["a worker died"]) if r.trial.cell.workers == 1 else r for r in once
    ]
    assert [cell.workers for cell in standing(plan, failed).contenders] == [2, 3, 1]


def test_a_race_agrees_with_the_grid_when_its_leader_is_one_of_the_grids_contenders() -> None:
    first, second, *_ = SMALL.cells()

    def replayed(race: tuple[Cell, ...], full: tuple[Cell, ...]) -> Replay:
        return Replay(Standing(race, {}), Standing(full, {}), 0, 0, 0.0, 0.0)

    assert replayed((first,), (first,)).agrees
    assert replayed((first,), (first, second)).agrees
    assert replayed((first, second), (first,)).agrees
    assert replayed((), ()).agrees
    assert not replayed((first,), (second,)).agrees
    assert not replayed((second, first), (first,)).agrees
    assert not replayed((), (first,)).agrees


def test_who_is_out_stays_out_for_the_reason_at_that_time_whoever_leads_later() -> None:
    plan = grid_of(3)
    runs = [102, 100.5, 95, 95, 95], [100, 100.1, 100, 100, 100], [50] * 5
    speeds = dict(zip(plan.cells(), runs, strict=True))
    early, late, slow = plan.cells()
    end = standing(plan, race(plan, speeds, Rules(most_runs=5)), Rules(most_runs=5))
    assert end.contenders[0] == late
    assert end.ruled_out[slow] == f"slower than {early}"


# How many runs, and how long they take


def test_a_winner_that_has_more_runs_than_the_plan_gets_no_more() -> None:
    speeds = speeds_of(SMALL, [50, 60, 70, 75, 100, 80], noise=0.005)
    results = race(SMALL, speeds, Rules())
    (winner,) = standing(SMALL, results).contenders
    more = [replace(result.trial, run=run) for run in (6, 7) for result in results[-1:]]
    assert results[-1].trial.cell == winner
    assert next_runs(SMALL, [*results, *(measured(trial, speeds) for trial in more)]) == []


def test_it_takes_at_most_ten_runs_or_as_many_as_the_plan_has() -> None:
    assert rules_of(Plan(runs=5)).most_runs == 10
    assert rules_of(Plan(runs=12)).most_runs == 12
    assert rules_of(Plan(goal="p99<100ms")).goal == goal_from("p99<100ms")


@pytest.mark.parametrize(("most_runs", "runs"), [(1, 6), (2, 12)])
def test_what_is_alike_gets_the_most_runs_and_no_more_the_better_half_first(
    most_runs: int, runs: int
) -> None:
    results = race(SMALL, speeds_of(SMALL, [100] * 6, noise=0.05), Rules(most_runs=most_runs))
    assert len(results) == runs
    assert [result.trial.run for result in results] == [1] * 6 + [2] * (runs - 6)
    speed = {result.trial.cell: result.throughput_rps for result in results[:6]}
    ranked = sorted(speed, key=lambda cell: -speed[cell])
    assert {result.trial.cell for result in results[6:9]} == (set(ranked[:3]) if runs > 6 else set())


def test_a_run_that_ends_with_the_budget_is_begun() -> None:
    assert len(next_runs(SMALL, [], Rules(budget_s=6 * 5.5))) == 6


def test_a_run_of_counted_requests_takes_as_long_as_the_last_of_its_cell_or_else_of_any() -> None:
    plan = replace(grid_of(2), duration_s=None, requests=1000)
    slow, quick = sorted(
        (trial for trial in plan.trials() if trial.run == 1), key=lambda trial: trial.cell.workers
    )
    took_20_s = replace(a_result(slow, 50.0), window_s=20.0)
    took_2_s = replace(a_result(quick, 500.0), window_s=2.0)
    # Of the quick cell alone a second run is asked for: 21.5 + 3.5 s are gone, and it takes 3.5 s.
    assert len(next_runs(plan, [took_2_s, took_20_s], Rules(budget_s=28.6))) == 1
    assert next_runs(plan, [took_2_s, took_20_s], Rules(budget_s=28.4)) == []
    # Nothing is known of the quick one yet: as slow as what was seen.
    assert next_runs(plan, [took_20_s], Rules(budget_s=42.9)) == []
    assert len(next_runs(plan, [took_20_s], Rules(budget_s=43.1))) == 1
