"""The same demand by every strategy: how many GPUs at other rates, and who keeps the bounds.

Both take seconds at most: what would take longer is left out, and said to be.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.simulation import Outcome
from experiments.placement.steps import PREDICTED_S, SEARCH, WARM_UP_S, predict
from experiments.placement.strategies import STRATEGIES
from experiments.placement.strategies.bound import fluid_bound
from experiments.report.placement.placing import Placing

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
ASKED_FIRST = (1.0, 2.0, 0.5, 1.5, 0.25, 1.25, 0.75)
"""The same in an order in which those that there was time for say most."""
MOST_WORKLOADS, MOST_GPUS = 24, 64
"""With more of them nothing is compared."""
SECONDS_EACH, SECONDS_SEARCH = 2.0, 5.0
"""After which a strategy is asked no more. What it was asked before is finished."""
MOST_REQUESTS = 200_000
"""Simulated of each strategy."""


class OutOfTimeError(Exception):
    """A strategy took longer than there is time for."""


@dataclass(frozen=True, slots=True)
class Needed:
    """GPUs by factor of the demand's rates: the lower bound, and what each strategy needs, as far as it finds
    a placement. `why`: of a strategy that doesn't always, the first reason."""

    at_least: Mapping[float, int]
    gpus: Mapping[str, Mapping[float, int]]
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attained:
    """What a strategy's placement gives, of `gpus` GPUs; None where there is none, and `why`."""

    strategy: str
    gpus: int | None = None
    outcomes: Sequence[Outcome] = ()
    why: str = ""

    @property
    def attainment(self) -> float:
        """The part of all requests that was answered within its bound."""
        requests = sum(outcome.requests for outcome in self.outcomes)
        kept = sum(outcome.attainment * outcome.requests for outcome in self.outcomes)
        return kept / requests if requests else 1.0

    @property
    def worst(self) -> Outcome:
        """Of the workload with the smallest part."""
        return min(self.outcomes, key=lambda outcome: outcome.attainment)


def too_large(placing: Placing) -> str:
    """Why nothing is compared; empty where it is."""
    count, gpus = len(placing.problem.workloads), len(placing.placement.gpus)
    if count > MOST_WORKLOADS or gpus > MOST_GPUS:
        return f"{count} models on {gpus} GPUs would take every strategy too long."
    return ""


def simulated_s(placing: Placing) -> float:
    """How long is simulated: as the prediction, or as long as so many requests last."""
    return min(PREDICTED_S, WARM_UP_S + MOST_REQUESTS / placing.asked_rps)


def needed(placing: Placing) -> Needed:
    """How many GPUs at other rates. The placement itself is what its strategy needs at these."""
    scaled = {factor: placing.made_for.times(factor) for factor in FACTORS}
    at_least = {factor: fluid_bound(problem) for factor, problem in scaled.items()}
    gpus: dict[str, dict[float, int]] = {}
    why: dict[str, str] = {}
    for strategy in STRATEGIES:
        ends_s = _until(strategy)
        found: dict[float, int] = {}
        for factor in ASKED_FIRST:
            if strategy == placing.strategy and factor == 1:
                found[factor] = len(placing.placement.gpus)
                continue
            try:
                placed = _fewest(strategy, scaled[factor], at_least[factor], ends_s)
            except (UnplaceableError, OutOfTimeError) as error:
                why.setdefault(strategy, f"at {factor:g} times the rates, {error}")
            else:
                found[factor] = len(placed.gpus)
        gpus[strategy] = dict(sorted(found.items()))
    return Needed(at_least, gpus, why)


def attained(placing: Placing) -> list[Attained]:
    """Every strategy's placement on as many GPUs as this one has, or on its own number if it needs more,
    simulated with the same arrivals."""
    return [_attained(placing, strategy) for strategy in STRATEGIES]


def _attained(placing: Placing, strategy: str) -> Attained:
    problem, seconds = placing.problem, simulated_s(placing)
    if strategy == placing.strategy:
        placement = placing.placement
        if seconds == PREDICTED_S:
            return Attained(strategy, len(placement.gpus), placing.predicted)
    else:
        try:
            placement = _fewest(strategy, placing.made_for, len(placing.placement.gpus), _until(strategy))
        except (UnplaceableError, OutOfTimeError) as error:
            return Attained(strategy, why=str(error))
    return Attained(strategy, len(placement.gpus), predict(problem, placement, placing.seed, seconds))


def _until(strategy: str) -> float:
    """When a strategy's time is over, by the monotonic clock."""
    return time.monotonic() + (SECONDS_SEARCH if strategy == SEARCH else SECONDS_EACH)


def _fewest(strategy: str, problem: Problem, least: int, ends_s: float) -> Placement:
    """A strategy's placement on `least` GPUs, or on the first number above with which it finds one.

    Raises UnplaceableError, with what was in the way at last, OutOfTimeError.
    """
    most = 4 * least + 4
    for gpus in [most] if strategy == SEARCH else range(least, most + 1):
        if time.monotonic() > ends_s:
            raise OutOfTimeError("not found in the time that a page takes")
        try:
            return STRATEGIES[strategy](problem, gpus)
        except UnplaceableError as error:
            reason = error
    raise reason
