"""Room for bursts: a placement for rates above those asked, where that is what keeping the bounds takes.

Parts that are filled to their rate keep every bound while requests come evenly spaced. They never do, and
queues in front of a part without reserve grow without end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.base.errors import UsageError
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.simulation import Outcome
from experiments.placement.steps import SEARCH, place, predict
from experiments.placement.strategies.search import Found

KEPT = 0.99
"""The part of a workload's requests within its bound by default: the gpu-let paper allows 1 % violations."""
STEP, STEPS = 1.1, 16
"""Rates of workloads that fall short are planned so many times higher, so often at most."""
MANY, STEPS_OF_MANY = 100, 4
"""The same for more than so many workloads, whose search takes seconds each time."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A placement and what it was planned for: `planned` is the problem with the rates raised. `predicted` is
    for the rates asked, and `placed.at_least` holds for them too."""

    placed: Found
    planned: Problem
    predicted: Sequence[Outcome]
    kept: float

    @property
    def short(self) -> list[Outcome]:
        """The workloads that keep their bounds less often than `kept`."""
        return [outcome for outcome in self.predicted if outcome.attainment < self.kept]

    def raised(self, problem: Problem) -> dict[str, float]:
        """How many times its rate in `problem` a workload was planned for, of those with more than once."""
        both = zip(problem.workloads, self.planned.workloads, strict=True)
        factors = {asked.name: planned.rate_rps / asked.rate_rps for asked, planned in both}
        return {name: factor for name, factor in factors.items() if factor > 1}


def place_with_reserve(
    problem: Problem, gpus: int, strategy: str = SEARCH, kept: float = KEPT, seed: int = 0
) -> Reserved:
    """The first placement with which each workload has `kept` of its requests within the bound as `predict`
    simulates it; where none is found on `gpus`, that whose worst workload does best.

    Raises UsageError where `kept` isn't from 0 to below 1, and what `place` raises for the rates as asked.
    """
    if not 0 <= kept < 1:
        raise UsageError(f"{100 * kept:g} % of the requests can't be promised: use 0 to 99.9")
    planned, best = problem, None
    steps = STEPS if len(problem.workloads) <= MANY else STEPS_OF_MANY
    for _ in range(steps + 1):
        try:
            placed = place(planned, gpus, strategy)
        except UnplaceableError:
            if best is None:
                raise
            break
        found = Reserved(
            replace(placed, at_least=best.placed.at_least if best else placed.at_least),
            planned,
            predict(problem, placed.placement, seed),
            kept,
        )
        if best is None or _worst(found) > _worst(best):
            best = found
        if not found.short:
            return found
        planned = _raised(planned, found.predicted, kept)
    assert best is not None
    return best


def _worst(found: Reserved) -> float:
    return min(outcome.attainment for outcome in found.predicted)


def _raised(problem: Problem, predicted: Sequence[Outcome], kept: float) -> Problem:
    workloads = (
        replace(workload, rate_rps=workload.rate_rps * STEP) if outcome.attainment < kept else workload
        for workload, outcome in zip(problem.workloads, predicted, strict=True)
    )
    return replace(problem, workloads=tuple(workloads))
