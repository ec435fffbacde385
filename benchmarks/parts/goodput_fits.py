"""Other ways to fit the limit of a bound through looks, to hold experiments/load/goodput/limit.py against.

Each takes what a search found, for its looks, and gives a rate in requests/s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import isotonic_regression

from experiments.load.goodput import Goodput, Probe

NEAR = 0.3  # as a logarithm of the rate: looks farther from the limit tell nothing of a straight line


def isotonic(found: Goodput) -> float:
    """The share that is late rises with the rate, however it does (weighted by requests): where it passes the
    allowed one, by a line between the logarithms of its neighbours."""
    looks = _looks(found)
    rates = np.array([each.rate_rps for each in looks])
    shares = np.array([each.found.misses / each.found.requests for each in looks])
    fit = isotonic_regression(shares, weights=[each.found.independent for each in looks]).x
    allowed = found.slo.allowed
    above, below = np.flatnonzero(fit > allowed), np.flatnonzero(fit <= allowed)
    if not len(above) or not len(below):
        return float(rates[-1] if len(below) else rates[0])
    low, high = below[-1], above[0]
    at = [math.log(max(share, allowed / 20)) for share in (fit[low], fit[high])]
    part = (math.log(allowed) - at[0]) / (at[1] - at[0])
    return float(rates[low] + part * (rates[high] - rates[low]))


def line_of_latency(found: Goodput) -> float:
    """A line through log p99 over the rate, weighted by requests: where it passes the bound."""
    looks = [each for each in _looks(found) if _near(found, each)]
    if len({each.rate_rps for each in looks}) < 2:
        return found.nearest.rate_rps
    rates = np.array([each.rate_rps for each in looks])
    logs = np.log([each.latency_ms for each in looks])
    weights = np.sqrt([each.found.independent for each in looks])
    slope, start = np.polyfit(rates, logs, 1, w=weights)
    limit = (math.log(found.slo.bound_ms) - start) / slope if slope > 0 else found.nearest.rate_rps
    return float(np.clip(limit, rates[0] / 2, rates[-1] * 2))


def bisected(found: Goodput) -> float:
    """Between the highest rate at which it holds and the lowest above it at which it doesn't."""
    held = max((each.rate_rps for each in found.probes if each.holds), default=0.0)
    failed = [each.rate_rps for each in found.probes if not each.holds and each.rate_rps > held]
    if not held or not failed:
        return found.nearest.rate_rps
    return math.sqrt(held * min(failed))


FITS: Mapping[str, Callable[[Goodput], float]] = {
    "isotonic": isotonic,
    "line of log p99": line_of_latency,
    "bisection": bisected,
}


def _looks(found: Goodput) -> list[Probe]:
    """Those that were measured, by their rates."""
    good = [each for each in found.probes if each.found.requests and not each.stops]
    return sorted(good, key=lambda each: each.rate_rps)


def _near(found: Goodput, probe: Probe) -> bool:
    return abs(math.log(probe.rate_rps / found.rate_rps)) < NEAR
