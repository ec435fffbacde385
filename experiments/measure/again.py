"""Which runs are measured again, as they were disturbed or failed for a cause that may have passed.

Pure functions of a plan and its results so far, of a resumed run too. What is there stays: another attempt of
the same run is added. As many as the plan has trials at most, and none where they are of no use.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments.plan import Plan, Trial
from experiments.results import TrialResult, by_cell

FUTILE_IN_A_ROW = (
    8  # attempts, of whatever cells, that were all disturbed too: then this machine is never quiet
)
FUTILE_OF_A_CELL = 3  # or as many as the cell has runs


def due_again(plan: Plan, results: Sequence[TrialResult]) -> list[Trial]:
    """The trials to measure once more, in the order in which the plan measures their cells.

    A run whose last attempt was disturbed, until one of them is quiet; not for a cell whose last attempts
    were all in vain, nor where the last `FUTILE_IN_A_ROW` of all cells were. A run that failed for a cause
    that may have passed: once, and not for a cell where that cause came back. Positions are those that are
    free next.
    """
    extra = [result for result in results if result.trial.attempt]
    of_cells = by_cell(results)
    busy = _in_vain(extra, FUTILE_IN_A_ROW)
    trials = [
        replace(last.trial, load=plan.load_of(cell), attempt=last.trial.attempt + 1)
        for cell in dict.fromkeys(trial.cell for trial in plan.trials())  # those of a server together
        for last in _last_attempts(of_cells.get(cell, ()))
        if _has_passed(last, of_cells[cell])
        or (last.disturbed and not busy and not _hopeless(of_cells[cell]))
    ]
    left = len(plan.cells()) * plan.runs - len(extra)
    first = next_position(plan, results)
    return [replace(trial, position=first + index) for index, trial in enumerate(trials[: max(0, left)])]


def next_position(plan: Plan, results: Sequence[TrialResult]) -> int:
    """The first place in the order that neither the plan nor a result has."""
    planned = 0 if plan.adaptive else len(plan.cells()) * plan.runs
    return max([planned, *(result.trial.position + 1 for result in results)])


def came_back(trial: Trial, results: Sequence[TrialResult]) -> bool:
    """Whether what ended `trial` has ended another attempt at its cell: then it is the cell's own."""
    return trial.attempt > 0 or _comes_back(by_cell(results).get(trial.cell, ()))


def _last_attempts(of_cell: Sequence[TrialResult]) -> list[TrialResult]:
    last: dict[int, TrialResult] = {}
    for result in of_cell:
        if result.trial.run not in last or result.trial.attempt > last[result.trial.run].trial.attempt:
            last[result.trial.run] = result
    return list(last.values())


def _has_passed(last: TrialResult, of_cell: Sequence[TrialResult]) -> bool:
    return last.may_have_passed and not _comes_back(of_cell)


def _comes_back(of_cell: Sequence[TrialResult]) -> bool:
    return any(result.may_have_passed and result.trial.attempt for result in of_cell)


def _hopeless(of_cell: Sequence[TrialResult]) -> bool:
    runs = len({result.trial.run for result in of_cell})
    extra = [result for result in of_cell if result.trial.attempt]
    return _in_vain(extra, max(FUTILE_OF_A_CELL, runs))


def _in_vain(extra: Sequence[TrialResult], in_a_row: int) -> bool:
    return len(extra) >= in_a_row and all(result.disturbed for result in extra[-in_a_row:])
