"""Which factor of the rates to look at next, and the limit that follows from all looks. Pure.

Each model has a limit of its own, fitted through what its requests saw at their rate, whatever came of the
others (load/goodput/limit.py). The factor up to which every bound is kept is the least of them. Looks are
taken where that is likely by then, all of the same length, until it is known well enough or there were enough
of them. At a factor at which requests failed nothing is fitted: it is above the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.load.goodput.evidence import Evidence
from experiments.load.goodput.limit import Expected, Limit, fitted
from experiments.plan.defaults import CONFIDENCE
from experiments.together.plan import Served

LOOKS = 12
TOLERANCE = 0.05
FEWEST = 3
LOWEST, HIGHEST = 1e-3, 1e3  # factors beyond which nobody looks

_SPREAD = 1.0  # a plan's rates say little of the limit
_TAKES = 2  # of a look in which something failed: what else the machine does can make it fail
_AT = (1.0, 2.5)  # times the allowed share is late where looks are taken, in turns
_NEAR = 0.25  # as a logarithm: from there on


@dataclass(frozen=True, slots=True)
class Tried:
    """A look at a factor: what each model saw there, by name; None where requests failed, or couldn't be
    sent on time. `held`: whether every bound was kept in it."""

    factor: float
    found: Mapping[str, Evidence] | None
    held: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The highest factor of the rates that keeps every bound, 0 where none did; with 95 % confidence it is
    between `least` and `most`, None where nothing tells. `sure`: both are within 5 % of it."""

    factor: float
    least: float
    most: float | None
    looks: int
    sure: bool

    def __str__(self) -> str:
        if not self.factor:
            return f"some bound is not kept even at {self.most:.3g} times the rates ({self.looks} looks)"
        most = "more" if self.most is None else f"{self.most:.3g}"
        ends = f"{CONFIDENCE:.0%} sure: {self.least:.3g} to {most}"
        return f"every bound is kept up to {self.factor:.3g} times the rates ({ends}; {self.looks} looks)"


@dataclass(slots=True)
class Search:
    """Says at which factor to look next, given the looks so far, and what follows from them."""

    models: Sequence[Served]
    looks: int = LOOKS
    tried: list[Tried] = field(default_factory=list)

    @property
    def next_factor(self) -> float | None:
        """None when it is enough."""
        if not self.tried:
            return 1.0
        last = self.tried[-1].factor
        if len(self.tried) >= self.looks:
            return None
        if self._to_be_taken_again(last):
            return last
        wanted = self._wanted()
        return None if self._known() or not LOWEST <= wanted <= HIGHEST else float(f"{wanted:.4g}")

    @property
    def decision(self) -> Decision | None:
        """What was found; None while there is a factor to look at."""
        if self.next_factor is not None:
            return None
        limit, count = self._limit(), len(self.tried)
        if not any(each.held for each in self.tried) and (limit.width > _NEAR or self._stopped(limit)):
            return Decision(0.0, 0.0, min(each.factor for each in self.tried), count, sure=True)
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return Decision(low, min(low, limit.least_rps), high, count, high <= low * (1 + TOLERANCE))
        most = None if all(each.held for each in self.tried) else limit.most_rps
        return Decision(limit.rate_rps, limit.least_rps, most, count, self._narrow(limit))

    def _limit(self) -> Limit:
        """In factors: that of the model whose bound is the first to break; its ends are the least of all."""
        limits = [self._limit_of(model) for model in self.models]
        first = min(limits, key=lambda each: each.rate_rps)
        least = min(each.least_rps for each in limits)
        return Limit(first.rate_rps, least, min(each.most_rps for each in limits), first.slope)

    def _limit_of(self, model: Served) -> Limit:
        own_rps = model.rate_rps
        looks = [(each.factor * own_rps, each.found[model.name]) for each in self.tried if each.found]
        limit = fitted(model.slo, looks, Expected(own_rps, _SPREAD), CONFIDENCE)
        return Limit(
            limit.rate_rps / own_rps, limit.least_rps / own_rps, limit.most_rps / own_rps, limit.slope
        )

    def _stopped(self, limit: Limit) -> tuple[float, float] | None:
        """The highest factor that held below the lowest at which something failed, and that one; None where
        latencies are the limit. The first is 0 where none held."""
        failed = {each.factor for each in self.tried if each.found is None}
        stops = failed - {each.factor for each in self.tried if each.found is not None}
        if not stops or limit.most_rps < min(stops):
            return None
        low = max((each.factor for each in self.tried if each.held and each.factor < min(stops)), default=0.0)
        return None if low and limit.rate_rps < low else (low, min(stops))

    def _wanted(self) -> float:
        """The factor that tells most."""
        limit = self._limit()
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return math.sqrt(low * high) if low else high / 4
        if limit.width > _NEAR:
            return limit.rate_rps
        return limit.rate_of(_AT[len(self.tried) % len(_AT)])

    def _known(self) -> bool:
        limit = self._limit()
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return low > 0 and high / low <= 1 + TOLERANCE
        return len(self.tried) >= FEWEST and self._narrow(limit)

    def _narrow(self, limit: Limit) -> bool:
        return limit.width <= math.log1p(TOLERANCE)

    def _to_be_taken_again(self, factor: float) -> bool:
        taken = [each for each in self.tried if each.factor == factor]
        return len(taken) < _TAKES and all(each.found is None for each in taken)
