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
from experiments.load.goodput.limit import NARROW, Expected, Limit, fitted
from experiments.load.goodput.search import FEWEST_LOOKS, TOLERANCE
from experiments.plan.defaults import CONFIDENCE
from experiments.together.plan import Served

LOOKS = 12
LOWEST, HIGHEST = 1e-3, 1e3  # factors beyond which nobody looks

_SPREAD = 1.0  # a plan's rates say little of the limit
_TAKES = 2  # of a look in which something failed: what else the machine does can make it fail


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
        if len(self.tried) >= self.looks:
            return None
        last = self.tried[-1].factor
        if self._to_be_taken_again(last):
            return last
        limit = self._limit()
        wanted = self._wanted(limit)
        return None if self._known(limit) or not LOWEST <= wanted <= HIGHEST else float(f"{wanted:.4g}")

    @property
    def decision(self) -> Decision | None:
        """What was found; None while there is a factor to look at."""
        if self.next_factor is not None:
            return None
        limit, count = self._limit(), len(self.tried)
        if not any(each.held for each in self.tried) and (limit.width > NARROW or self._stopped(limit)):
            return Decision(0.0, 0.0, min(each.factor for each in self.tried), count, sure=False)
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return Decision(low, min(low, limit.least_rps), high, count, high <= low * (1 + TOLERANCE))
        most = None if all(each.held for each in self.tried) else limit.most_rps
        return Decision(limit.rate_rps, limit.least_rps, most, count, limit.is_within(TOLERANCE))

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
        """See Limit.stopped: here a factor stops where something failed in every look at it."""
        failed = {each.factor for each in self.tried if each.found is None}
        stops = failed - {each.factor for each in self.tried if each.found is not None}
        return limit.stopped([each.factor for each in self.tried if each.held], stops)

    def _wanted(self, limit: Limit) -> float:
        """The factor that tells most."""
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return math.sqrt(low * high) if low else high / 4
        return limit.telling_rate(len(self.tried))

    def _known(self, limit: Limit) -> bool:
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            return low > 0 and high / low <= 1 + TOLERANCE
        return len(self.tried) >= FEWEST_LOOKS and limit.is_within(TOLERANCE)

    def _to_be_taken_again(self, factor: float) -> bool:
        taken = [each for each in self.tried if each.factor == factor]
        return len(taken) < _TAKES and all(each.found is None for each in taken)
