"""Goodput: the highest rate of requests at which a latency bound is kept.

Here: `find`, which searches on a server; `Search`, which says where to look next and when it is enough, and
knows nothing of servers. Not here: looks (looks.py), the limit that follows from them (limit.py).

First a closed loop tells about how much the server can do. Then rates are looked at, each where the limit is
likely by then: shortly while that is far from known, longer the closer it gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from experiments.load.goodput.found import Goodput, NoGoodputError, Probe
from experiments.load.goodput.limit import NARROW, Expected, Limit, fitted
from experiments.load.goodput.looks import Disturbed, Looks, Send
from experiments.plan import Slo
from experiments.plan.defaults import CONFIDENCE, LONGEST_LOOK_S, MOST_IN_FLIGHT

TOLERANCE = 0.05
FEWEST_LOOKS = 3
DEFAULT_START_RPS = 10.0
SEARCH_IN_LOOKS = 2.0
"""So many of its longest looks a search may take."""

_OF_CAPACITY, _SPREAD = 0.75, 0.25  # the limit, of what a closed loop reaches
_NO_CAPACITY_SPREAD = 1.0
_DOUBTED = 0.9  # of what a closed loop reached: where that is kept, something may have been in its way
_PLAUSIBLE = (0.2, 1.2)  # a start, of what a closed loop reaches
_LIMIT_TOLERANCE = 0.5  # the generator's limit isn't what is searched for
_ALONE = 0.05  # requests in the time of the bound: then they hardly ever meet
_MISSES = 3  # that a short look sees where exactly the allowed share is late
_LEAST_REQUESTS, _IN_BOUNDS, _SHORTEST_S = 100, 25, 0.5
_GLANCE_REQUESTS = 30  # where no rate is known yet that the generator can send
_SHORT, _LONG = 1 / 3, 1 / 2  # of the longest look
_BESIDE_S = 0.5  # of a look: to connect, and for the last answers


def find(
    send: Send,
    slo: Slo,
    *,
    start_rps: float | None = None,
    arrivals: str = "poisson",
    max_in_flight: int = MOST_IN_FLIGHT,
    longest_s: float = LONGEST_LOOK_S,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    note: Callable[[Probe], None] | None = None,
    disturbed: Disturbed = lambda result: None,
    clock: Callable[[], float] | None = None,
) -> Goodput:
    """The goodput of the server that `send` puts loads on, within `tolerance` (0.05: 5 %).

    Begins at `start_rps` where somebody predicts the limit, unless a closed loop tells that it can't be. Ends
    when it is known within the tolerance, with that confidence, or after three looks or more when
    SEARCH_IN_LOOKS times `longest_s` have passed on the `clock`, of which a look takes `longest_s` at most.
    `note` hears of each look. One of which `disturbed` says what else the machine did meanwhile is taken
    again, twice at most. Raises NoGoodputError where no rate keeps the bound or none can be measured,
    ValueError for a start or tolerance that isn't above 0, and what `send` raises.
    """
    check(start_rps, tolerance)
    now_s = clock or monotonic
    begin_s = now_s()
    looks = Looks(send, slo, arrivals, max_in_flight, longest_s, iter(range(seed, 2**31)), disturbed)
    alone_s = looks.alone_s()
    capacity_rps = looks.capacity_rps(alone_s)
    search = Search(slo, capacity_rps, start_rps, longest_s, tolerance, confidence, looks.warm_up_s)
    doubted = False
    while (planned := search.next_look(now_s() - begin_s)) is not None:
        probe = looks.at(*planned)
        search.probes.append(probe)
        if note is not None:
            note(probe)
        if search.doubts_capacity and not doubted:
            doubted = True
            search.capacity_rps = max(search.capacity_rps or 0.0, looks.capacity_rps(alone_s) or 0.0)
    return search.goodput()


def check(start_rps: float | None, tolerance: float = TOLERANCE) -> None:
    """Raises ValueError for a start or a tolerance that makes no search."""
    if start_rps is not None and not 0 < start_rps < math.inf:
        raise ValueError(f"a search can't start at {start_rps} requests/s: give more than 0")
    if not tolerance > 0:
        raise ValueError(f"a search to within {tolerance} never ends: give more than 0")


@dataclass(slots=True)
class Search:
    """Says where to look next, given the `probes` so far, and what follows from them. Pure."""

    slo: Slo
    capacity_rps: float | None
    start_rps: float | None
    longest_s: float = LONGEST_LOOK_S
    tolerance: float = TOLERANCE
    confidence: float = CONFIDENCE
    warm_up_s: float = 0.0
    probes: list[Probe] = field(default_factory=list)

    def next_look(self, spent_s: float) -> tuple[float, float] | None:
        """The rate to look at next, in requests/s, and for how many seconds at most; None when it is enough.

        Raises NoGoodputError where even single requests, far apart, don't keep the bound.
        """
        limit = self._limit()
        rate_rps, length_s = self._wanted(limit)
        self._check_some_rate_may_hold(rate_rps)
        beside_s = self.warm_up_s + self.slo.bound_s + _BESIDE_S
        left_s = SEARCH_IN_LOOKS * self.longest_s - spent_s - beside_s
        over = left_s < min(length_s, self._short_s(rate_rps)) and len(self.probes) >= FEWEST_LOOKS
        if self._known(limit) or over:
            return None
        return _rounded(rate_rps), min(length_s, max(left_s, self._short_s(rate_rps)), self.longest_s)

    @property
    def doubts_capacity(self) -> bool:
        """Whether the bound was kept so near to what the closed loop reached that it may reach more."""
        held_rps = max((each.rate_rps for each in self.probes if each.holds), default=0.0)
        return self.capacity_rps is not None and held_rps > _DOUBTED * self.capacity_rps

    def goodput(self) -> Goodput:
        """What the looks so far say. Raises NoGoodputError where the bound was kept in none of them."""
        limit = self._limit()
        if limit.width > NARROW and not any(each.holds for each in self.probes):
            raise _nothing_holds(self.slo, min(self.probes, key=lambda each: each.rate_rps))
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            surely = min(low, limit.least_rps) if low < limit.rate_rps else limit.least_rps
            above = _of_rate(self.probes, high)
            surely_not = None if above.generator_problem else high
            return self._told(low, surely, surely_not, high / low <= 1 + self.tolerance)
        return self._told(limit.rate_rps, limit.least_rps, limit.most_rps, limit.is_within(self.tolerance))

    def _told(self, rate_rps: float, surely_rps: float, surely_not_rps: float | None, sure: bool) -> Goodput:
        least = _rounded(surely_rps) if any(each.holds for each in self.probes) else None
        most = None if surely_not_rps is None else _rounded(surely_not_rps)
        if not any(not each.holds and not each.generator_problem for each in self.probes):
            most = None  # nothing that was seen says so
        return Goodput(self.slo, _rounded(rate_rps), least, most, sure, self.confidence, tuple(self.probes))

    # Where the limit is.

    def _limit(self) -> Limit:
        """That of the latencies."""
        looks = [(each.rate_rps, each.found) for each in self.probes if not each.stops]
        return fitted(self.slo, looks, self._expected(), self.confidence)

    def _expected(self) -> Expected:
        """A start is a prediction, unless the closed loop rules it out."""
        start_rps, capacity_rps = self.start_rps, self.capacity_rps
        if capacity_rps is None:
            return Expected(start_rps or DEFAULT_START_RPS, _NO_CAPACITY_SPREAD)
        if start_rps is not None and _PLAUSIBLE[0] < start_rps / capacity_rps < _PLAUSIBLE[1]:
            return Expected(start_rps, _SPREAD, capacity_rps)
        return Expected(_OF_CAPACITY * capacity_rps, _SPREAD, capacity_rps)

    def _stopped(self, limit: Limit) -> tuple[float, float] | None:
        """See Limit.stopped."""
        held = [each.rate_rps for each in self.probes if each.holds]
        return limit.stopped(held, [each.rate_rps for each in self.probes if each.stops])

    # What to do next.

    def _wanted(self, limit: Limit) -> tuple[float, float]:
        """The rate and the length of a look that tells most."""
        if not self.probes:
            rate_rps = self._expected().rate_rps
            return rate_rps, self._short_s(rate_rps)
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            if not low:
                return high / 4, self._glance_s(high / 4)
            return math.sqrt(low * high), self._short_s(low)
        length_s = self._short_s(limit.rate_rps) if limit.width > NARROW else self._needed_s(limit)
        return limit.telling_rate(len(self.probes)), length_s

    def _needed_s(self, limit: Limit) -> float:
        """Half of what is missing: widths shrink with the root of the time."""
        near = [each for each in self.probes if abs(math.log(each.rate_rps / limit.rate_rps)) < NARROW]
        near_s = sum(each.measured_s for each in near)
        missing_s = near_s * ((limit.width / math.log1p(self.tolerance)) ** 2 - 1)
        return max(self._short_s(limit.rate_rps), min(missing_s / 2, _LONG * self.longest_s))

    def _short_s(self, rate_rps: float) -> float:
        """Long enough to tell whether a rate is far too high, or too low."""
        requests = max(_MISSES / self.slo.allowed, _LEAST_REQUESTS)
        least_s = max(_IN_BOUNDS * self.slo.bound_s, requests / rate_rps, _SHORTEST_S)
        return min(least_s, _SHORT * self.longest_s)

    def _glance_s(self, rate_rps: float) -> float:
        return max(_SHORTEST_S, min(_GLANCE_REQUESTS / rate_rps, _SHORT * self.longest_s))

    def _known(self, limit: Limit) -> bool:
        if (ends := self._stopped(limit)) is not None:
            low, high = ends
            sent = not _of_rate(self.probes, high).generator_problem
            return low > 0 and high / low <= 1 + (self.tolerance if sent else _LIMIT_TOLERANCE)
        return len(self.probes) >= FEWEST_LOOKS and limit.is_within(self.tolerance)

    def _check_some_rate_may_hold(self, rate_rps: float) -> None:
        if not self.probes or any(each.holds for each in self.probes):
            return
        lowest = min(self.probes, key=lambda each: each.rate_rps)
        if lowest.rate_rps * self.slo.bound_s <= _ALONE:
            raise _nothing_holds(self.slo, lowest)


def _nothing_holds(slo: Slo, found: Probe) -> NoGoodputError:
    if found.generator_problem:
        return NoGoodputError(f"no rate can be measured: {found.generator_problem}", found.disturbed)
    why = found.failure or f"p{slo.percentile:g} is {found.latency_ms:,.3g} ms"
    told = f"{slo} is not kept at any rate: even at {found.rate_rps:g} requests/s {why}"
    return NoGoodputError(told, found.disturbed)


def _rounded(rate_rps: float) -> float:
    """To four digits, which is what anybody reads."""
    return float(f"{rate_rps:.4g}")


def _of_rate(probes: list[Probe], rate_rps: float) -> Probe:
    return next(each for each in reversed(probes) if each.rate_rps == rate_rps)
