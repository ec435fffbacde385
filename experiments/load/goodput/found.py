"""What a search for the highest rate found: its looks, the limit that follows from them, how sure that is.

Here: the records, in words and as JSON. Not here: how they come about (search.py, looks.py, limit.py).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.load.goodput.evidence import Evidence, Verdict
from experiments.plan import Slo

DECIDES = 0.1
"""Looks at rates that are no farther from the limit than this share of it decide where it lies."""


class NoGoodputError(ExperimentError):
    """The bound is not kept at any rate, or none can be measured; `disturbed`: what else the machine did."""

    def __init__(self, message: str, disturbed: str | None = None) -> None:
        super().__init__(message + (f"; this machine was busy meanwhile: {disturbed}" if disturbed else ""))
        self.disturbed = disturbed


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at a rate gave. `verdict` is what it proves by itself; `holds` the best guess.

    `latency_ms` is the bound's percentile of the sample. `generator_problem` tells why the rate could not be
    measured, `failure` what failed besides latency, `disturbed` what else the machine did meanwhile.
    """

    rate_rps: float
    verdict: Verdict
    holds: bool
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
        sure = "not sure" if self.verdict == "unsure" else "sure"
        return f"{self.rate_rps:g} requests/s: {verdict}, {sure} ({why}, {self.measured_s:.1f} s)"

    @property
    def stops(self) -> str | None:
        """Why higher rates need not be looked at, whatever the latencies are."""
        return self.generator_problem or self.failure


@dataclass(frozen=True, slots=True)
class Goodput:
    """The bound is kept up to `rate_rps`: all looks together say so.

    With `confidence` the rate at which it stops to hold is above `surely_rps`, and below `surely_not_rps`;
    None where nothing that was measured tells. `sure`: both are as close to `rate_rps` as was asked for.
    """

    slo: Slo
    rate_rps: float
    surely_rps: float | None
    surely_not_rps: float | None
    sure: bool
    confidence: float
    probes: tuple[Probe, ...]

    @property
    def nearest(self) -> Probe:
        """The look whose rate is nearest to the limit; of several the one of most requests."""
        measured = [each for each in self.probes if not each.stops] or self.probes
        return min(measured, key=lambda each: (self._off(each), -each.found.requests))

    @property
    def fails_at_rps(self) -> float | None:
        """The lowest rate above the limit that was looked at, and at which the bound is not kept."""
        return min(
            (each.rate_rps for each in self.probes if each.rate_rps > self.rate_rps and not each.holds),
            default=None,
        )

    @property
    def generator_problem(self) -> str | None:
        """Why higher rates than `rate_rps` could not be measured; None where they were, or need not be."""
        limits = [each for each in self.probes if each.generator_problem and each.rate_rps > self.rate_rps]
        if not limits:
            return None
        lowest = min(limits, key=lambda each: each.rate_rps)
        known_rps = math.inf if self.surely_not_rps is None else self.surely_not_rps
        return lowest.generator_problem if lowest.rate_rps <= known_rps else None

    @property
    def disturbed(self) -> str | None:
        """What else the machine did while a rate near the limit was looked at; None where it was quiet."""
        near = [each for each in self.probes if self._off(each) <= math.log1p(DECIDES)] or [self.nearest]
        return next((each.disturbed for each in near if each.disturbed), None)

    def problems(self) -> list[str]:
        """Why this is not the server's goodput; empty when it is."""
        if self.disturbed:
            why = f"this machine was busy, each time that it was looked at: {self.disturbed}"
            return [f"the goodput may be other than {self.rate_rps:g} requests/s: {why}"]
        if problem := self.generator_problem:
            return [f"the goodput is {self.rate_rps:g} requests/s or more: {problem}"]
        held_rps = max((each.rate_rps for each in self.probes if each.verdict == "holds"), default=0.0)
        failed_rps = min((each.rate_rps for each in self.probes if each.verdict == "fails"), default=math.inf)
        if held_rps > failed_rps:
            rates = f"it holds at {held_rps:g} requests/s and fails at {failed_rps:g}"
            return [f"{rates}: the server or the machine changed meanwhile; measure again"]
        return []

    def explain(self) -> str:
        """The goodput in a sentence, with how sure it is and on how many requests that rests."""
        more = " or more" if self.generator_problem else ""
        requests = sum(each.found.requests for each in self.probes)
        looks = "1 look" if len(self.probes) == 1 else f"{len(self.probes)} looks"
        text = f"{self.slo} is kept up to {self.rate_rps:g} requests/s{more} ({looks}, {requests:,} requests)"
        ends = [f"kept at {self.surely_rps:g}"] if self.surely_rps else []
        ends += [f"not kept at {self.surely_not_rps:g}"] if self.surely_not_rps else []
        if not ends:
            return f"{text}; a guess: measure longer at each rate to be sure"
        text += f"; {self.confidence:.0%} sure is {' and '.join(ends)}"
        return text if self.sure else f"{text}: measure longer to narrow that"

    def _off(self, probe: Probe) -> float:
        return abs(math.log(probe.rate_rps / self.rate_rps))


def as_json(goodput: Goodput) -> dict[str, Any]:
    """For machines: the goodput, how sure it is, and every look, in the order of looking."""
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
