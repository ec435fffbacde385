"""The cell that a prediction holds for the best by a goal, and those that may be as good."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, sqrt

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Cell, Goal
from experiments.predict.predicted import Predicted

PERCENTILES = ("p50", "p95", "p99")
SURE_SD = 1.645  # one-sided 95 % of a normal distribution
ALIKE = 1.001  # a smaller ratio is the simulation's own noise: the plan's first cell goes first


@dataclass(frozen=True, slots=True)
class Best:
    """The best cell by prediction; `rivals` can't be told from it, by the uncertainty of both."""

    cell: Cell
    predicted: Predicted
    rivals: tuple[Cell, ...]


def check_goal(goal: Goal) -> None:
    """Raises UsageError for a goal that no prediction tells of."""
    if goal.figure != "throughput":
        raise UsageError(f"--predict tells nothing of {goal.figure}: ask for throughput, or measure")
    for bound in goal.bounds:
        if bound.name not in PERCENTILES:
            raise UsageError(f"--predict tells nothing of {bound.name}: bound p50, p95 or p99, or measure")


def best(grid: Mapping[Cell, Predicted], goal: Goal) -> Best:
    """The most inputs/s of the cells that keep the goal's bounds.

    Raises UsageError for a goal that no prediction tells of, ExperimentError where no cell keeps the bounds.
    """
    check_goal(goal)
    kept = {cell: found for cell, found in grid.items() if not cell.twin and _keeps(goal, found)}
    if not kept:
        raise ExperimentError(f"by the prediction no cell of the plan meets the goal '{goal}'")
    most = max(_figure(cell, found) for cell, found in kept.items())
    first = next(cell for cell, found in kept.items() if _figure(cell, found) >= most / ALIKE)
    rivals = [cell for cell in kept if cell is not first and _may_be_as_good(cell, first, kept)]
    return Best(first, kept[first], tuple(rivals))


def interval(found: Predicted) -> tuple[float, float]:
    """Requests/s between which the true throughput lies with 90 %, taken as lognormal."""
    factor = exp(SURE_SD * found.log_sd)
    return found.throughput_rps / factor, found.throughput_rps * factor


def _keeps(goal: Goal, found: Predicted) -> bool:
    return all(getattr(found, f"{bound.name}_ms") < bound.limit for bound in goal.bounds)


def _figure(cell: Cell, found: Predicted) -> float:
    return found.throughput_rps * cell.client_batch


def _may_be_as_good(cell: Cell, first: Cell, kept: Mapping[Cell, Predicted]) -> bool:
    one, other = kept[cell], kept[first]
    apart = log(_figure(first, other) / _figure(cell, one))
    return apart < SURE_SD * sqrt(one.log_sd**2 + other.log_sd**2)
