"""Which of a cell's runs count: the undisturbed ones, where they are enough.

A run that something else on the machine disturbed is kept, and measured again; both are in trials.jsonl.
"""

from collections.abc import Sequence

from experiments.plan import Cell
from experiments.results.trial_result import TrialResult


def by_cell(results: Sequence[TrialResult]) -> dict[Cell, list[TrialResult]]:
    """The results of each cell, in their order."""
    found: dict[Cell, list[TrialResult]] = {}
    for result in results:
        found.setdefault(result.trial.cell, []).append(result)
    return found


def counting(of_cell: Sequence[TrialResult]) -> list[TrialResult]:
    """The results of a cell whose figures count.

    Those that are valid and undisturbed, where they are enough: more than half of the runs that have a valid
    result at all. Else everything that is valid, as a median of one or two runs of five says less than one of
    five of which some were disturbed.
    """
    valid = [result for result in of_cell if result.valid]
    undisturbed = [result for result in valid if not result.disturbed]
    runs = {result.trial.run for result in valid}
    return undisturbed if 2 * len(undisturbed) > len(runs) else valid


def all_counting(results: Sequence[TrialResult]) -> list[TrialResult]:
    """`results` in their order, without the disturbed ones that don't count. What is invalid stays."""
    counted = {id(each) for of_cell in by_cell(results).values() for each in counting(of_cell)}
    return [result for result in results if not result.valid or id(result) in counted]


def best_attempts(results: Sequence[TrialResult]) -> list[TrialResult]:
    """One result for each run of a cell, in the order of their first attempts: of several attempts the first
    that is valid and undisturbed, else the last valid one, else the last."""
    best: dict[tuple[Cell, int], TrialResult] = {}
    for result in results:
        key = result.trial.cell, result.trial.run
        if key not in best or (_rank(best[key]) < 2 and _rank(result) >= _rank(best[key])):
            best[key] = result
    return list(best.values())


def _rank(result: TrialResult) -> int:
    return 0 if not result.valid else 1 if result.disturbed else 2
