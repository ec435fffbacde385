"""A disturbed run is measured again, and one that failed for a cause that passed; but not for ever."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.measure import due
from experiments.measure.again import came_back, due_again
from experiments.plan import Plan, Trial
from experiments.results import Results, TrialResult, best_attempts, counting
from experiments.verdict import judge
from experiments.verdict.sentence import banners
from experiments.verdict.summary import summarise
from tests.support.builders import a_result

PLAN = Plan(workers=(1, 2), batch_size=(4,), runs=5, noise_floor=False)
BUSY = ["other programs used 1.00 of 2 cores"]


def quiet(trial: Trial) -> TrialResult:
    return a_result(trial, 100.0)


def disturbed(trial: Trial) -> TrialResult:
    return a_result(trial, 50.0, disturbances=BUSY)


def killed(trial: Trial) -> TrialResult:
    return a_result(trial, 0.0, problems=["1 of 1 workers died during the trial"], may_have_passed=True)


def carried_out(gives: Callable[[Trial], TrialResult], plan: Plan = PLAN) -> list[TrialResult]:
    """All that is asked for until nothing is, one trial at a time."""
    results: list[TrialResult] = []
    while todo := due(plan, results):
        results.append(gives(todo[0]))
        assert len(results) <= 2 * len(plan.cells()) * plan.runs
    return results


def test_on_a_quiet_machine_nothing_is_measured_again() -> None:
    assert len(carried_out(quiet)) == 10


def test_a_disturbed_run_is_kept_and_measured_again_until_it_is_quiet() -> None:
    results = carried_out(
        lambda trial: disturbed(trial) if trial.run == 2 and trial.attempt < 2 else quiet(trial)
    )
    assert len(results) == 14
    assert [r.trial.attempt for r in results if r.trial.run == 2 and r.trial.cell.workers == 1] == [0, 1, 2]
    assert len({result.trial.position for result in results}) == 14


def test_a_machine_that_is_always_busy_is_given_up_soon() -> None:
    assert len(carried_out(disturbed)) == 10 + 8


def test_a_cell_that_is_always_disturbed_is_given_up_and_the_others_are_not() -> None:
    results = carried_out(lambda trial: disturbed(trial) if trial.cell.workers == 1 else quiet(trial))
    assert [result.trial.cell.workers for result in results if result.trial.attempt] == [1] * 5


def test_what_failed_for_a_cause_that_passed_is_measured_again() -> None:
    results = carried_out(
        lambda trial: killed(trial) if (trial.run, trial.attempt) == (3, 0) else quiet(trial)
    )
    assert len(results) == 12
    assert [len([r for r in counting(results) if r.trial.cell == cell]) for cell in PLAN.cells()] == [5, 5]


def test_a_cause_that_comes_back_is_the_cells_own() -> None:
    results = carried_out(lambda trial: killed(trial) if trial.cell.workers == 2 else quiet(trial))
    again = [result.trial for result in results if result.trial.attempt]
    assert [trial.cell.workers for trial in again] == [2]
    assert came_back(results[0].trial, results) == (results[0].trial.cell.workers == 2)


def test_what_is_the_cells_own_fault_is_not_measured_again() -> None:
    wrong = carried_out(lambda trial: a_result(trial, 0.0, problems=["3 answers were wrong"]))
    assert len(wrong) == 10


def test_a_resumed_run_goes_on_with_the_attempts() -> None:
    (first,) = [trial for trial in PLAN.trials() if trial.position == 0]
    results = [disturbed(first), *(quiet(trial) for trial in PLAN.trials()[1:])]
    (again,) = due_again(PLAN, results)
    assert (again.cell, again.run, again.attempt, again.position) == (first.cell, first.run, 1, 10)


def test_a_race_sees_the_quiet_attempt_of_a_run() -> None:
    plan = replace(PLAN, until_sure=True, runs=3)
    speeds = dict(zip(plan.cells(), (60.0, 100.0), strict=True))

    def measured(trial: Trial) -> TrialResult:
        if trial.attempt == 0 and trial.cell.workers == 2:
            return a_result(trial, 40.0, disturbances=BUSY)
        return a_result(trial, speeds[trial.cell] + trial.run / 10)

    results = carried_out(measured, plan)
    best = [each for each in best_attempts(results) if each.trial.cell.workers == 2]
    assert len(best) == 3
    assert all(each.throughput_rps > 100 for each in best)


def test_undisturbed_runs_count_alone_where_they_are_more_than_half() -> None:
    plan = Plan(workers=(1,), batch_size=(4,), runs=5, noise_floor=False)
    runs = plan.trials()
    most = [*map(disturbed, runs[:2]), *map(quiet, runs[2:])]
    assert summarise(plan, most)["throughput_rps_median"][0] == 100
    assert summarise(plan, most)[["runs", "disturbed_runs"]].values.tolist() == [[3, 2]]
    few = [*map(disturbed, runs[:3]), *map(quiet, runs[3:])]
    assert summarise(plan, few)["throughput_rps_median"][0] == 50
    assert summarise(plan, few)[["runs", "disturbed_runs"]].values.tolist() == [[5, 3]]


def test_a_busy_machine_is_told_before_anything_else(tmp_path: Path) -> None:
    plan = Plan(workers=(1,), batch_size=(4,), runs=5, noise_floor=False)
    runs = plan.trials()
    again = [replace(trial, attempt=1, position=10 + trial.run) for trial in runs[:2]]
    measured = [*map(disturbed, runs[:2]), *map(quiet, runs[2:]), *map(quiet, again)]
    verdict = judge(Results(tmp_path, plan, tuple(measured), {}))
    assert next(banners(verdict)) == (
        "This machine was busy: 2 of 5 runs were disturbed, 2 were measured again; "
        "the figures are those of undisturbed runs."
    )
    given_up = judge(Results(tmp_path, plan, tuple(map(disturbed, runs)), {}))
    assert next(banners(given_up)) == (
        "This machine was busy: 5 of 5 runs were disturbed, 0 were measured again; "
        "too few are undisturbed, and all count, of batch size 4 on 1 worker."
    )


def test_a_cell_with_fewer_valid_runs_than_asked_is_told(tmp_path: Path) -> None:
    plan = Plan(workers=(1,), batch_size=(4,), runs=5, noise_floor=False)
    first, *others = plan.trials()
    measured = [a_result(first, 0.0, problems=["3 answers were wrong"]), *map(quiet, others)]
    told = list(banners(judge(Results(tmp_path, plan, tuple(measured), {}))))
    assert told == ["1 cell with fewer valid runs than were asked for: batch size 4 on 1 worker (4)."]
