"""How it is decided what is measured next: what is best, how sure that has to be, and what it may cost."""

from dataclasses import dataclass, field
from math import inf

from experiments.plan import Goal, Plan, goal_from
from experiments.plan.defaults import CONFIDENCE

MOST_RUNS = 10  # of a cell, where it takes many to be sure


@dataclass(frozen=True, slots=True)
class Rules:
    """With `confidence` the truly best cell is not ruled out.

    A cell gets at most `most_runs`; a run that would end after `budget_s` of measuring is not begun.
    """

    goal: Goal = field(default_factory=Goal)
    confidence: float = CONFIDENCE
    most_runs: int = MOST_RUNS
    budget_s: float = inf


def rules_of(plan: Plan) -> Rules:
    """Those of a plan's race or search, but for its budget, which the campaign keeps: it has the clock."""
    return Rules(goal_from(plan.goal), most_runs=max(MOST_RUNS, plan.runs))
