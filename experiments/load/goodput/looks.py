"""Looks at a server: a request by itself, a closed loop, a rate; each taken again where it was disturbed.

Here: loads sent, and what came back as a Probe. Not here: which rates are looked at, and when it is enough
(search.py), what a sample of latencies proves (evidence.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.load.clients import Load
from experiments.load.closed_loop import ClosedLoop
from experiments.load.goodput.evidence import evidence, judge
from experiments.load.goodput.found import NoGoodputError, Probe
from experiments.load.goodput.others import MOST_TAKES
from experiments.load.open_loop import OpenLoop
from experiments.load.result import MOST_BUSY, LoadResult, Pacing
from experiments.plan import Slo

Send = Callable[[Load, int], LoadResult]
"""Puts a load on the server, its arrivals drawn with the given seed."""

Disturbed = Callable[[LoadResult], str | None]
"""What else the machine did during a load, in words; None where that was little."""

RISK = 0.005
"""That what a single look proves is wrong."""

_WARM_UP_S, _WARM_UP_IN_BOUNDS = 0.5, 3
_MOST_LATE_IN_BOUNDS = 0.1
_ALONE_REQUESTS = 7
_MOST_WAITING, _MORE_WAITING = 3, 16  # bounds' worth of requests without an answer, and some: it is broken
_FILLED = 1.5  # times the bound that an answer takes where a closed loop keeps the server full
_FEWEST_CONNECTIONS, _FIRST_CONNECTIONS, _FILLINGS = 4, 32, 3
_GROWN = 1.1  # times the throughput, where more connections are of use
_SHORTEST_S = 1.0


@dataclass(slots=True)
class Looks:
    """Takes looks at the server that `send` puts loads on. A look of which `disturbed` says what else the
    machine did is taken again, twice at most."""

    send: Send
    slo: Slo
    arrivals: str
    max_in_flight: int
    longest_s: float
    seeds: Iterator[int]
    disturbed: Disturbed

    @property
    def warm_up_s(self) -> float:
        return min(_WARM_UP_S + _WARM_UP_IN_BOUNDS * self.slo.bound_s, self.longest_s / 3)

    def alone_s(self) -> float | None:
        """How long a request takes that has the server to itself; None where none was answered.

        Raises NoGoodputError where that is longer than the bound, with what else the machine did.
        """
        bound_s = self.slo.bound_s
        load = OpenLoop(_ALONE_REQUESTS / bound_s, bound_s, "constant", max_in_flight=1)
        for _ in range(MOST_TAKES):
            result = self.send(load, next(self.seeds))
            alone_s = float(np.median(result.end_s - result.start_s)) if result.requests else None
            busy = self.disturbed(result)
            if alone_s is None or alone_s <= bound_s or busy is None:
                break
        if alone_s is not None and alone_s > bound_s:
            why = f"{self.slo} is not kept at any rate: a request by itself takes {alone_s * 1e3:,.3g} ms"
            raise NoGoodputError(why, busy)
        return alone_s

    def capacity_rps(self, alone_s: float | None) -> float | None:
        """Requests/s in a closed loop with so many connections that an answer takes longer than the bound, or
        that more of them bring nothing; None where requests failed. Whoever waits for so long has missed the
        bound, so that more connections aren't needed, and a short queue may refuse them."""
        bound_s = self.slo.bound_s
        wanted = _FEWEST_CONNECTIONS if alone_s is None else math.ceil(2 * bound_s / alone_s)
        connections = min(max(wanted, _FEWEST_CONNECTIONS), _FIRST_CONNECTIONS, self.max_in_flight)
        seconds = max(_SHORTEST_S, min(10 * bound_s, self.longest_s / 10))
        reached_rps = 0.0
        for _ in range(_FILLINGS):
            load = ClosedLoop(connections, duration_s=seconds, warm_up_s=min(seconds / 2, self.warm_up_s))
            result = self._undisturbed(load)
            if result.problems():
                break
            grown = result.throughput_rps > _GROWN * reached_rps
            reached_rps = max(reached_rps, result.throughput_rps)
            filled = float(np.median(result.latency_s)) >= _FILLED * bound_s
            if filled or not grown or connections == self.max_in_flight:
                break
            connections = min(4 * connections, self.max_in_flight)
        return reached_rps or None

    def _undisturbed(self, load: Load) -> LoadResult:
        for _ in range(MOST_TAKES):
            result = self.send(load, next(self.seeds))
            if self.disturbed(result) is None:
                break
        return result

    def at(self, rate_rps: float, length_s: float) -> Probe:
        """A look at a rate, which ends before `length_s` where the server clearly does not keep up."""
        waiting = math.ceil(_MOST_WAITING * rate_rps * self.slo.bound_s) + _MORE_WAITING
        load = OpenLoop(
            rate_rps, length_s, self.arrivals, self.warm_up_s, self.max_in_flight, most_waiting=waiting
        )
        result, problem, busy = self._on_time(load)
        failure = _failure(result)
        latency_s = in_order(result)
        found = evidence(self.slo, latency_s)
        verdict = judge(self.slo, found, RISK)
        likely = (
            found.misses <= self.slo.allowed * found.requests if verdict == "unsure" else verdict == "holds"
        )
        return Probe(
            rate_rps=rate_rps,
            verdict="unsure" if problem else "fails" if failure else verdict,
            holds=not (problem or failure) and likely,
            latency_ms=result.latency_ms(self.slo.percentile),
            found=found,
            measured_s=result.window_s,
            failure=failure,
            generator_problem=problem,
            disturbed=busy,
        )

    def _on_time(self, load: OpenLoop) -> tuple[LoadResult, str | None, str | None]:
        """The result, why the generator could not send that load, and what else the machine did: something
        may be in its way once, or twice."""
        for take in range(MOST_TAKES):
            result = self.send(load, next(self.seeds))
            assert result.pacing is not None
            problem, busy = _generator_problem(self.slo, result.pacing), self.disturbed(result)
            if busy is None and (problem is None or take):
                break
        return result, problem, busy


def _generator_problem(slo: Slo, pacing: Pacing) -> str | None:
    """Why the latencies may be the generator's own: its lateness is part of them, so it must be little."""
    if pacing.busy > MOST_BUSY:
        return pacing.generator_problem
    late_ms = pacing.lateness_ms(slo.percentile)
    if late_ms <= slo.bound_ms * _MOST_LATE_IN_BOUNDS or not len(pacing.lateness_s):
        return None
    late = f"it was {late_ms:.2g} ms late at p{slo.percentile:g}, more than a tenth of the bound"
    return f"the generator could not keep up: {late}; use more client processes or an idle machine"


def _failure(result: LoadResult) -> str | None:
    """A rate at which anything fails is too high, however fast the rest is."""
    assert result.pacing is not None
    others = [each for each in result.problems() if each != result.pacing.generator_problem]
    return others[0] if others and result.pacing.scheduled else None


def in_order(result: LoadResult) -> NDArray[np.float64]:
    """The latencies in the order in which the requests were due."""
    assert result.pacing is not None
    return result.latency_s[np.argsort(result.pacing.scheduled_s, kind="stable")]
