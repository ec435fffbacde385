"""The rate at which a bound stops to hold, fitted through all looks at rates around it. Pure.

A queue's tail is exponential, and the share of the requests that come late grows steeply with the rate: as
its 5th to 50th power on servers that take batches. So the share that is late is 1 - exp(-exp(line)), a line
in the logarithm of the rate that passes through the allowed share at the limit (a complementary log-log
link). Farther from the limit it is no line: what is seen there says above or below, and no more. Limit and
slope have their probabilities on a grid, given the looks: nothing has to converge, and looks that all hold,
or all fail, are as good as others. How this compares with a bisection, an isotonic line and a line through
log p99 on the same looks is told by `python -m benchmarks.goodput`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments.load.goodput.evidence import Evidence
from experiments.plan import Slo

Floats = NDArray[np.float64]

# Of slope / (limit * bound), what is expected before any look: the middle, and its logarithm's deviation.
_STEEP, _STEEP_SPREAD = 0.9, 0.5
_STEEPS = np.geomspace(0.2, 4.0, 15)
_SLOPES = (3.0, 60.0)
_LIMITS = 121
_FAR = 16.0  # times as far as anything that was looked at
_TAIL = 1e-7  # of the probability, that a finer grid may leave out
_NEAR = 6.0  # times the allowed share, or a part of it: the line is one in between
_ABOVE_CAPACITY = 0.04  # as a logarithm: so far off is what a closed loop tells, and seldom much farther
NARROW = 0.25  # as a logarithm: a limit known so well is looked at for what it is, not for where it is
_AT = (1.0, 2.5)  # times the allowed share is late where looks are then taken, in turns
_FEWEST = 4  # looks that tell how far they scatter beyond chance


@dataclass(frozen=True, slots=True)
class Limit:
    """The bound holds up to `rate_rps`; with the confidence asked for, the truth is above `least_rps` and
    below `most_rps`. The share that is late grows as the rate to the power of `slope`."""

    rate_rps: float
    least_rps: float
    most_rps: float
    slope: float

    @property
    def width(self) -> float:
        """How far the ends are from the middle, as a logarithm: 0.05 is about 5 %."""
        return math.log(self.most_rps / self.least_rps) / 2

    def rate_of(self, times: float) -> float:
        """The rate at which `times` the allowed share of the requests is late."""
        return float(self.rate_rps * times ** (1 / self.slope))

    def telling_rate(self, looks: int) -> float:
        """The rate at which another look tells most, after so many."""
        return self.rate_rps if self.width > NARROW else self.rate_of(_AT[looks % len(_AT)])

    def is_within(self, tolerance: float) -> bool:
        """Whether the ends are no farther from the middle than that: 0.05 is 5 %."""
        return self.width <= math.log1p(tolerance)

    def stopped(self, held: Iterable[float], stops: Collection[float]) -> tuple[float, float] | None:
        """The highest rate that `held` below the lowest that `stops`, since something failed or could not be
        sent there, and that one; None where latencies are the limit. The first is 0 where none held."""
        if not stops or self.most_rps < min(stops):
            return None
        low, high = max((each for each in held if each < min(stops)), default=0.0), min(stops)
        return None if low and self.rate_rps < low else (low, high)


@dataclass(frozen=True, slots=True)
class Expected:
    """Where the limit lies, as far as is known before: half the probability is within `spread`, a logarithm,
    of `rate_rps`; it may be far off, as a Cauchy distribution has it. Not above `capacity_rps`, though."""

    rate_rps: float
    spread: float
    capacity_rps: float | None = None


def fitted(slo: Slo, looks: Sequence[tuple[float, Evidence]], expected: Expected, confidence: float) -> Limit:
    """The limit, given looks: the rate of each in requests/s and what it saw."""
    looks = _as_inflated(slo, looks)
    rates = np.array([rate for rate, _ in looks] + [expected.rate_rps])
    low, high = rates.min() / _FAR, rates.max() * _FAR
    calm = 1.0
    for _ in range(3):  # two grids, the second around what the first says; then the scatter is known
        limits = np.geomspace(low, high, _LIMITS)
        log_share = _log_probabilities(slo, looks, expected, limits, calm)
        weights = np.exp(log_share - log_share.max())
        of_limit = weights.sum(axis=1) / weights.sum()
        inside = np.flatnonzero(of_limit > _TAIL)
        low, high = limits[max(inside[0] - 1, 0)], limits[min(inside[-1] + 1, _LIMITS - 1)]
        best = np.unravel_index(int(log_share.argmax()), log_share.shape)
        calm = _scatter(slo, looks, float(limits[best[0]]), float(_STEEPS[best[1]]))
    ends = (1 - confidence) / 2, 0.5, (1 + confidence) / 2
    least, middle, most = np.exp(np.interp(ends, _cumulated(of_limit), np.log(limits)))
    steep = float(np.exp((weights.sum(axis=0) @ np.log(_STEEPS)) / weights.sum()))
    return Limit(float(middle), float(least), float(most), float(_slope(slo, middle, steep)))


def _cumulated(of_limit: Floats) -> Floats:
    """The probability of a limit below each, half of its own included; ascending."""
    cumulated: Floats = np.cumsum(of_limit) - of_limit / 2 + np.arange(_LIMITS) * 1e-12
    return cumulated


def _log_probabilities(
    slo: Slo, looks: Sequence[tuple[float, Evidence]], expected: Expected, limits: Floats, scatter: float
) -> Floats:
    """Of each limit (rows) with each slope (columns), but for a constant."""
    off = np.log(limits / expected.rate_rps) / expected.spread
    sum_of_all: Floats = -np.log1p(off**2)[:, None] + _log_of_steeps()[None, :]
    if expected.capacity_rps is not None:
        above = np.maximum(0.0, np.log(limits / expected.capacity_rps)) / _ABOVE_CAPACITY
        sum_of_all = sum_of_all - 1.5 * np.log1p(above**2)[:, None]
    for (rate_rps, found), part in zip(looks, _parts(looks), strict=True):
        share = _share(slo, rate_rps, limits[:, None], _STEEPS[None, :])
        if not found.requests:
            continue
        seen, says = _seen(slo, found, part), found.independent / scatter
        sum_of_all = sum_of_all + says * (seen * np.log(share) + (1 - seen) * np.log1p(-share))
    return sum_of_all


def _log_of_steeps() -> Floats:
    found: Floats = -((np.log(_STEEPS / _STEEP) / _STEEP_SPREAD) ** 2) / 2
    return found


def _slope(slo: Slo, limit_rps: Floats, steep: Floats | float) -> Floats:
    """The slope of the line: 1 times limit * bound where arrivals and services vary as those of M/M/1 do."""
    return np.clip(steep * slo.bound_s * limit_rps, *_SLOPES)


def _share(slo: Slo, rate_rps: float, limit_rps: Floats, steep: Floats) -> Floats:
    """The share of the requests that is late at a rate, as far as it is near the allowed one."""
    line = math.log(-math.log1p(-slo.allowed)) + _slope(slo, limit_rps, steep) * np.log(rate_rps / limit_rps)
    share: Floats = -np.expm1(-np.exp(np.minimum(line, 3.0)))
    return np.clip(share, *_near(slo))


def _near(slo: Slo) -> tuple[float, float]:
    """The shares between which the line is one."""
    return slo.allowed / _NEAR, min(slo.allowed * _NEAR, (1 + slo.allowed) / 2)


def _seen(slo: Slo, found: Evidence, part: float) -> float:
    """The share that was late, as far as it counts. Half a miss more, as Jeffreys' prior has it, of which a
    look has its `part`: most samples have fewer late requests than there are on average, as these come in few
    long rows."""
    more = part * found.inflation
    return float(np.clip((found.misses + more / 2) / (found.requests + more), *_near(slo)))


def _as_inflated(slo: Slo, looks: Sequence[tuple[float, Evidence]]) -> list[tuple[float, Evidence]]:
    """Looks that happen to see no row of late requests seem to say more than they do: none is taken to have
    a smaller inflation than the mean of all that are not far above the limit."""
    near = [found for _, found in looks if found.misses <= _near(slo)[1] * found.requests]
    requests = sum(found.requests for found in near)
    least = sum(found.requests * found.inflation for found in near) / requests if requests else 1.0
    return [(rate, replace(found, inflation=max(found.inflation, least))) for rate, found in looks]


def _parts(looks: Sequence[tuple[float, Evidence]]) -> list[float]:
    """What each look is of all."""
    total = sum(found.independent for _, found in looks) or 1.0
    return [math.sqrt(found.independent / total) for _, found in looks]


def _scatter(slo: Slo, looks: Sequence[tuple[float, Evidence]], limit_rps: float, steep: float) -> float:
    """How many times as far the looks are from the line as chance has them (Pearson's chi-squared over its
    degrees of freedom); 1 at least. Those where next to none or nearly all come late can't tell."""
    squares = []
    for (rate_rps, found), part in zip(looks, _parts(looks), strict=True):
        share = float(_share(slo, rate_rps, np.array(limit_rps), np.array(steep)))
        if _near(slo)[0] < share < _near(slo)[1] and found.requests:
            off = _seen(slo, found, part) - share
            squares.append(off**2 * found.independent / (share * (1 - share)))
    return max(1.0, sum(squares) / (len(squares) - 2)) if len(squares) >= _FEWEST else 1.0
