"""Which trials to measure now, of a plan and what it has given so far. Pure."""

from collections.abc import Collection, Sequence

from experiments.measure.again import due_again
from experiments.plan import Cell, Plan, Trial
from experiments.predict.predicted import Predictor
from experiments.results.trial_result import TrialResult
from experiments.search import rules_of, search
from experiments.search.race import next_runs, standing


def due(
    plan: Plan,
    results: Sequence[TrialResult],
    cells: Collection[Cell] | None = None,
    predictor: Predictor | None = None,
) -> list[Trial]:
    """The trials to measure now: all that are left or, until it is sure what is best, the next round, in a
    search the next one; and what is worth measuring again, after all that are left, but before what comes
    next. With `cells`: theirs. A search goes by what the `predictor` says.
    """
    found = _due(plan, results, cells, predictor)
    return found if cells is None else [trial for trial in found if trial.cell in cells]


def _due(
    plan: Plan, results: Sequence[TrialResult], cells: Collection[Cell] | None, predictor: Predictor | None
) -> list[Trial]:
    if plan.search:
        found = search.outcome(plan, results, predictor)
        again = _again(plan, results, found.standing.contenders)
        return again or search.trials_of(plan, results, found.next_cell)
    if plan.until_sure:
        rules = rules_of(plan)
        contenders = standing(plan, results, rules).contenders
        return _again(plan, results, contenders) or next_runs(plan, results, rules)
    done = {(result.trial.cell, result.trial.run) for result in results}
    left = [trial for trial in plan.trials() if (trial.cell, trial.run) not in done]
    if cells is not None:
        left = [trial for trial in left if trial.cell in cells]
    return left or due_again(plan, results)


def _again(plan: Plan, results: Sequence[TrialResult], contenders: Collection[Cell]) -> list[Trial]:
    return [trial for trial in due_again(plan, results) if trial.cell in contenders]
