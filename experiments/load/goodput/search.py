"""Goodput: the highest rate of requests at which a latency bound is kept.

Here: `find`, which tries rates on a server; `search`, the bisection, which knows nothing of servers; and what
they found, with how sure that is. Not here: sending, what a sample of latencies proves (evidence.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.base.errors import ExperimentError
from experiments.load.goodput.evidence import Evidence, Verdict, evidence, judge, least_requests
from experiments.load.open_loop import OpenLoop
from experiments.load.result import MOST_BUSY, LoadResult, Pacing
from experiments.plan import Slo
from experiments.plan.defaults import LONGEST_LOOK_S, MOST_IN_FLIGHT

TOLERANCE = 0.05
CONFIDENCE = 0.95
DEFAULT_START_RPS = 10.0

# With 5 % more than a server can do, latency grows by 5 % of the time that passes: the bound is passed after
# 20 times the bound. A look that is to find that out lasts longer.
_LOOK_IN_BOUNDS = 25
_GLANCE_IN_BOUNDS = 5
_GLANCE_REQUESTS = 30
_GLANCE_RISK = 0.01
_LIMIT_TOLERANCE = 0.5  # the generator's limit isn't what is searched for
_BEYOND = (1.1, 1.25, 1.5)  # where to look for certainty
_SHORTEST_S = 0.5
_MOST_TAKES = 3  # of a look that was disturbed
_WARM_UP_IN_BOUNDS = 3
_MOST_LATE_IN_BOUNDS = 0.1
_ALONE_REQUESTS = 7
_ALONE = 0.05  # requests in the time of the bound: then they hardly ever meet

Send = Callable[[OpenLoop, int], LoadResult]
"""Puts a load on the server, its arrivals drawn with the given seed."""


class NoGoodputError(ExperimentError):
    """The bound is not kept at any rate, or no rate can be measured."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a rate gave. `verdict` is sure or "unsure"; `holds` is the best guess where it is.

    `latency_ms` is the bound's percentile of the sample. `generator_problem` tells why the rate could not be
    measured, `failure` what failed besides latency, `disturbed` what else the machine did meanwhile.
    """

    rate_rps: float
    verdict: Verdict
    holds: bool
    glance: bool
    latency_ms: float
    found: Evidence
    measured_s: float
    failure: str | None = None
    generator_problem: str | None = None
    disturbed: str | None = None

    def __str__(self) -> str:
        why = self.generator_problem or self.failure or f"{self.latency_ms:,.3g} ms"
        why += f", {self.disturbed}" if self.disturbed else ""
        verdict = "holds" if self.holds else "fails"
        sure = "at a glance" if self.glance else "not sure" if self.verdict == "unsure" else "sure"
        return f"{self.rate_rps:g} requests/s: {verdict}, {sure} ({why}, {self.measured_s:.1f} s)"


@dataclass(frozen=True, slots=True)
class Goodput:
    """The bound holds at `rate_rps` and not at `fails_at_rps`, the next higher rate that was tried.

    With `confidence` the rate at which it stops to hold is above `surely_rps`, and below `surely_not_rps`;
    None where nothing that was measured is so clear.
    """

    slo: Slo
    rate_rps: float
    fails_at_rps: float
    confidence: float
    probes: tuple[Probe, ...]

    @property
    def generator_problem(self) -> str | None:
        """Why higher rates than `rate_rps` could not be measured; None where they were."""
        return _of_rate(self.probes, self.fails_at_rps).generator_problem

    @property
    def disturbed(self) -> str | None:
        """What else the machine did while one of the two ends was measured; None where they were quiet."""
        ends = [_of_rate(self.probes, rate_rps) for rate_rps in (self.rate_rps, self.fails_at_rps)]
        return next((each.disturbed for each in ends if each.disturbed), None)

    @property
    def surely_rps(self) -> float | None:
        return max((each.rate_rps for each in self.probes if each.verdict == "holds"), default=None)

    @property
    def surely_not_rps(self) -> float | None:
        return min((each.rate_rps for each in self.probes if each.verdict == "fails"), default=None)

    @property
    def sure(self) -> bool:
        """Whether both ends of the bisection are beyond chance."""
        return (self.surely_rps, self.surely_not_rps) == (self.rate_rps, self.fails_at_rps)

    def problems(self) -> list[str]:
        """Why this is not the server's goodput; empty when it is."""
        if self.disturbed:
            why = f"this machine was busy, each time that it was looked at: {self.disturbed}"
            return [f"the goodput may be other than {self.rate_rps:g} requests/s: {why}"]
        if problem := self.generator_problem:
            return [f"the goodput is {self.rate_rps:g} requests/s or more: {problem}"]
        if self.surely_rps and self.surely_not_rps and self.surely_rps > self.surely_not_rps:
            rates = f"it holds at {self.surely_rps:g} requests/s and fails at {self.surely_not_rps:g}"
            return [f"{rates}: the server or the machine changed meanwhile; measure again"]
        return []

    def explain(self) -> str:
        """The goodput in a sentence, with how sure it is and on how many requests that rests."""
        at_rate = _of_rate(self.probes, self.rate_rps)
        end = "or more" if self.generator_problem else f"and not at {self.fails_at_rps:g}"
        text = f"{self.slo} is kept up to {self.rate_rps:g} requests/s {end}"
        late = f"{at_rate.found.misses:,} of {at_rate.found.requests:,} requests took longer"
        text += f" ({late}, {self.slo.allowed * 100:.3g}% of them may)"
        if self.sure:
            return f"{text}; {self.confidence:.0%} sure"
        ends = [f"kept at {self.surely_rps:g}"] if self.surely_rps else []
        ends += [f"not kept at {self.surely_not_rps:g}"] if self.surely_not_rps else []
        if not ends:
            return f"{text}; a guess: measure longer at each rate to be sure"
        return f"{text}; {self.confidence:.0%} sure is {' and '.join(ends)}: measure longer to narrow that"


def as_json(goodput: Goodput) -> dict[str, Any]:
    """For machines: the goodput, how sure it is, and every rate that was tried, in the order of trying."""
    return {
        "slo": str(goodput.slo),
        "goodput_rps": goodput.rate_rps,
        "fails_at_rps": goodput.fails_at_rps,
        "surely_rps": goodput.surely_rps,
        "surely_not_rps": goodput.surely_not_rps,
        "sure": goodput.sure,
        "confidence": goodput.confidence,
        "explanation": goodput.explain(),
        "valid": not goodput.problems(),
        "problems": goodput.problems(),
        "probes": [_probe_as_json(probe) for probe in goodput.probes],
    }


def _probe_as_json(probe: Probe) -> dict[str, Any]:
    fields = asdict(probe)
    fields |= fields.pop("found")
    fields["latency_ms"] = None if math.isnan(probe.latency_ms) else probe.latency_ms
    return fields


# Trying rates on a server.


def find(
    send: Send,
    slo: Slo,
    *,
    start_rps: float = DEFAULT_START_RPS,
    arrivals: str = "poisson",
    max_in_flight: int = MOST_IN_FLIGHT,
    longest_s: float = LONGEST_LOOK_S,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    note: Callable[[Probe], None] | None = None,
    disturbed: Callable[[LoadResult], str | None] = lambda result: None,
) -> Goodput:
    """The goodput of the server that `send` puts loads on, within `tolerance` (0.05: 5 %).

    Begins at `start_rps`, best somewhat below what the server can do. A rate is measured until what it shows
    is beyond chance, for `longest_s` at most. `note` hears of each rate. A look of which `disturbed` says
    what else the machine did meanwhile is taken again, twice at most. Raises NoGoodputError where no rate
    keeps the bound or none can be measured, and what `send` raises.
    """
    _check(start_rps, tolerance)
    seeds = iter(range(seed, 2**31))
    warm_up_s = _SHORTEST_S + _WARM_UP_IN_BOUNDS * slo.bound_s

    def probe(rate_rps: float, glance: bool) -> Probe:
        looks = _glance(slo, rate_rps) if glance else _looks(slo, rate_rps, longest_s, confidence)
        loads = (
            (OpenLoop(rate_rps, length_s, arrivals, warm_up_s, max_in_flight), risk)
            for length_s, risk in looks
        )
        found = _measure(send, slo, rate_rps, loads, seeds, glance, disturbed)
        if note is not None:
            note(found)
        return found

    _check_alone(send, slo, next(seeds))
    return search(probe, slo, start_rps=start_rps, tolerance=tolerance, confidence=confidence)


def _check_alone(send: Send, slo: Slo, seed: int) -> None:
    """Raises NoGoodputError where a request takes too long even if it has the server to itself."""
    result = send(OpenLoop(_ALONE_REQUESTS / slo.bound_s, slo.bound_s, "constant", max_in_flight=1), seed)
    if result.requests:
        alone_ms = float(np.median(result.end_s - result.start_s) * 1e3)
        if alone_ms > slo.bound_ms:
            raise NoGoodputError(
                f"{slo} is not kept at any rate: a request by itself takes {alone_ms:,.3g} ms"
            )


def _glance(slo: Slo, rate_rps: float) -> Iterator[tuple[float, float]]:
    """One short look: enough to see that a rate is far too high, and no proof of anything."""
    yield max(_GLANCE_IN_BOUNDS * slo.bound_s, _GLANCE_REQUESTS / rate_rps, _SHORTEST_S), _GLANCE_RISK


def _looks(slo: Slo, rate_rps: float, longest_s: float, confidence: float) -> Iterator[tuple[float, float]]:
    """How long to look, and at which risk to judge all that was seen so far: again while that is unsure.

    Each look doubles the sample, and is given half the risk that is left: so all together keep to it.
    """
    risk = (1 - confidence) / 2  # for each end of the bisection
    next_s = max(
        _LOOK_IN_BOUNDS * slo.bound_s, least_requests(slo, risk / 2) / rate_rps, _GLANCE_REQUESTS / rate_rps
    )
    looked_s = 0.0
    while looked_s < longest_s:
        next_s = min(next_s, longest_s - looked_s)
        risk /= 2
        yield next_s, risk
        looked_s += next_s
        next_s = looked_s


def _measure(
    send: Send,
    slo: Slo,
    rate_rps: float,
    loads: Iterator[tuple[OpenLoop, float]],
    seeds: Iterator[int],
    glance: bool,
    disturbed: Callable[[LoadResult], str | None],
) -> Probe:
    samples: list[NDArray[np.float64]] = []
    measured_s = 0.0
    verdict: Verdict = "unsure"
    found, problem, failure = Evidence(0, 0, 1.0), None, None
    others: str | None = None
    for load, risk in loads:
        result, problem, busy = _send_on_time(send, slo, load, seeds, disturbed)
        others = others or busy
        measured_s += load.duration_s
        failure = _failure(result)
        if problem or failure:
            break
        samples.append(_in_order(result))
        found = evidence(slo, np.concatenate(samples))
        verdict = judge(slo, found, risk)
        if verdict != "unsure":
            break
    latency_s = np.concatenate(samples) if samples else np.empty(0)
    return Probe(
        rate_rps=rate_rps,
        verdict="unsure" if glance or problem else "fails" if failure else verdict,
        holds=not (problem or failure) and _likely(slo, found, verdict, glance),
        glance=glance,
        latency_ms=float(np.percentile(latency_s, slo.percentile) * 1e3) if len(latency_s) else math.nan,
        found=found,
        measured_s=measured_s,
        failure=failure,
        generator_problem=problem,
        disturbed=others,
    )


def _send_on_time(
    send: Send,
    slo: Slo,
    load: OpenLoop,
    seeds: Iterator[int],
    disturbed: Callable[[LoadResult], str | None],
) -> tuple[LoadResult, str | None, str | None]:
    """The result, why the generator could not send that load, and what else the machine did: something may be
    in its way once, or twice."""
    for take in range(_MOST_TAKES):
        result = send(load, next(seeds))
        assert result.pacing is not None
        problem, busy = _generator_problem(slo, result.pacing), disturbed(result)
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


def _in_order(result: LoadResult) -> NDArray[np.float64]:
    """The latencies in the order in which the requests were due."""
    assert result.pacing is not None
    return result.latency_s[np.argsort(result.pacing.scheduled_s, kind="stable")]


def _likely(slo: Slo, found: Evidence, verdict: Verdict, glance: bool) -> bool:
    if verdict != "unsure" or glance:
        return verdict != "fails"
    return found.misses <= slo.allowed * found.requests


# Which rates to try: pure.


def search(
    probe: Callable[[float, bool], Probe],
    slo: Slo,
    *,
    start_rps: float,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
) -> Goodput:
    """Doubles or halves the rate until the bound is between two, then bisects to within `tolerance`.

    `probe(rate_rps, glance)` tries a rate, at a glance or thoroughly; both ends of the result were tried
    thoroughly. Where they are too close to the truth to be sure, some rates beyond them are tried as well.
    Raises NoGoodputError as `find` does, ValueError for a start or tolerance that isn't above 0.
    """
    _check(start_rps, tolerance)
    probes: list[Probe] = []

    def holds(rate_rps: float, *, glance: bool = False) -> bool:
        found = probe(rate_rps, glance)
        probes.append(found)
        if found.holds or rate_rps * slo.bound_s > _ALONE:
            return found.holds
        if glance:
            return holds(rate_rps)
        raise NoGoodputError(_nothing_holds(slo, found))

    def tried(rate_rps: float) -> bool:
        return any(each.rate_rps == rate_rps and not each.glance for each in probes)

    def precision(high_rps: float) -> float:
        limited = any(each.rate_rps == high_rps and each.generator_problem for each in probes)
        return max(tolerance, _LIMIT_TOLERANCE) if limited else tolerance

    low, high = _bracket(holds, _rounded(start_rps))
    while True:
        while high / low > 1 + precision(high) and low < (middle := _rounded(math.sqrt(low * high))) < high:
            low, high = (middle, high) if holds(middle) else (low, middle)
        if not tried(low) and not holds(low):
            low, high = _rounded(low / 2), low
        elif not tried(high) and holds(high):
            low, high = high, _rounded(high * 2)
        else:
            break
    for factor in _BEYOND:
        goodput = Goodput(slo, low, high, confidence, tuple(probes))
        if goodput.surely_rps is None:
            holds(_rounded(low / factor))
        if goodput.surely_not_rps is None and not goodput.problems():
            holds(_rounded(high * factor))
    return Goodput(slo, low, high, confidence, tuple(probes))


def _check(start_rps: float, tolerance: float) -> None:
    if not 0 < start_rps < math.inf:
        raise ValueError(f"a search can't start at {start_rps} requests/s: give more than 0")
    if not tolerance > 0:
        raise ValueError(f"a search to within {tolerance} never ends: give more than 0")


def _bracket(holds: Callable[..., bool], rate_rps: float) -> tuple[float, float]:
    """A rate at which the bound holds at a glance, and twice that, at which it doesn't."""
    if holds(rate_rps, glance=True):
        while holds(2 * rate_rps, glance=True):
            rate_rps *= 2
        return rate_rps, 2 * rate_rps
    while not holds(rate_rps / 2, glance=True):
        rate_rps /= 2
    return rate_rps / 2, rate_rps


def _rounded(rate_rps: float) -> float:
    """To four digits, which is what anybody reads."""
    return float(f"{rate_rps:.4g}")


def _nothing_holds(slo: Slo, found: Probe) -> str:
    if found.generator_problem:
        return f"no rate can be measured: {found.generator_problem}"
    why = found.failure or f"p{slo.percentile:g} is {found.latency_ms:,.3g} ms"
    return f"{slo} is not kept at any rate: even at {found.rate_rps:g} requests/s {why}"


def _of_rate(probes: tuple[Probe, ...], rate_rps: float) -> Probe:
    return next(each for each in reversed(probes) if each.rate_rps == rate_rps)
