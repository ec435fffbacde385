"""What it takes to measure a cell, and what an improvement must come to, to be worth looking for."""

from math import log, sqrt

from scipy.special import stdtrit

from experiments.plan import Cell, Plan
from experiments.plan.trial import LOADING_S
from experiments.search.evidence import comparisons
from experiments.search.rules import Rules

STARTING_S = 6.0  # of a server, beside the model's load
LEAST, MOST = log(1.02), log(1.05)


def worth_finding(plan: Plan, rules: Rules, noise: float) -> float:
    """The log of the ratio by which a cell must be better for a search to go on.

    What all runs of the whole grid, with this `noise` on log scale, could just tell apart by the race's test;
    but 2 % at least, and 5 % at most.
    """
    freedom = len(plan.cells()) * (plan.runs - 1)
    if not freedom:
        return MOST
    level = (1 - rules.confidence) / comparisons(plan, rules.goal)
    could_tell = -float(stdtrit(freedom, level)) * noise * sqrt(2 / plan.runs)
    return min(MOST, max(LEAST, could_tell))


def change_s(now: Cell | None, then: Cell) -> float:
    """What it takes before a run of `then` can begin, after one of `now`: a server, a model, or nothing."""
    if now is None or now.started_with != then.started_with:
        return STARTING_S + LOADING_S
    return 0.0 if now.registration == then.registration else LOADING_S
