"""--search: which cell to measure next, or that none is left that can win, and why.

Pure functions of a plan and its results so far, to be asked after every trial, of a resumed run too. A
`predictor` is asked for every cell every time: one that takes its time should remember.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

from experiments.plan import Cell, Plan, Trial
from experiments.predict.predicted import Predictor
from experiments.results.trial_result import TrialResult
from experiments.search.evidence import Standing, attempts_of, expected_s, free_runs, measuring_time_s
from experiments.search.rules import Rules, rules_of
from experiments.search.state import State


@dataclass(frozen=True, slots=True)
class Done:
    """The search is over: why, and of each cell that is out, why it can't be the best."""

    reason: str
    ruled_out: Mapping[Cell, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search stands: `next_cell` comes next; where that is None, it is over for that `reason`.

    With the confidence of the rules no cell that is out is more than `worth` (a ratio) times as good as the
    leader. `never_measured` of all `cells` have no run, `open` of them may still be better. `predicted`: the
    search had a prediction to begin with.
    """

    standing: Standing
    next_cell: Cell | None
    reason: str
    worth: float
    never_measured: tuple[Cell, ...]
    cells: int
    predicted: bool

    @property
    def open(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.never_measured if cell in self.standing.contenders)


def next_cell(
    plan: Plan,
    results: Sequence[TrialResult],
    predictor: Predictor | None = None,
    rules: Rules | None = None,
) -> Cell | Done:
    """The cell to measure now, or that the search is over. The twin is never asked for."""
    found = outcome(plan, results, predictor, rules)
    return found.next_cell or Done(found.reason, found.standing.ruled_out)


def next_runs(
    plan: Plan,
    results: Sequence[TrialResult],
    predictor: Predictor | None = None,
    rules: Rules | None = None,
) -> list[Trial]:
    """The trial to measure now; none when the search is over or its budget is spent."""
    return trials_of(plan, results, outcome(plan, results, predictor, rules).next_cell)


def trials_of(plan: Plan, results: Sequence[TrialResult], cell: Cell | None) -> list[Trial]:
    """Another run of a cell, after these results; none without a cell."""
    if cell is None:
        return []
    attempts = attempts_of(plan, results)[cell]
    run = free_runs(attempts, len(attempts) + 1)[0]
    return [Trial(cell, plan.load_of(cell), run, len(results), plan.seed)]


def outcome(
    plan: Plan,
    results: Sequence[TrialResult],
    predictor: Predictor | None = None,
    rules: Rules | None = None,
) -> Outcome:
    """How the search stands after these results of it, and what comes next."""
    rules = rules or rules_of(plan)
    state = State(plan, results, predictor, rules)
    cell, reason = state.decided()
    if cell is not None:
        earlier = state.attempts[cell] or results
        if measuring_time_s(results) + expected_s(plan, earlier, cell) > rules.budget_s:
            cell, reason = None, f"the budget of {rules.budget_s:g} s is spent"
    unmeasured = tuple(each for each, runs in state.attempts.items() if not runs)
    predicted = predictor is not None
    return Outcome(state.standing(), cell, reason, exp(state.worth), unmeasured, len(state.cells), predicted)
