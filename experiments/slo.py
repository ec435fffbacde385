"""A latency bound such as p99=100ms, and what a sample of latencies says about whether it is kept.

The p99 is within the bound where at most 1 in 100 requests takes longer: so those that take longer are
counted, and the count is compared with the binomial distribution. That is the order-statistic interval of
the percentile, seen from the bound. Which rates are tried, and for how long, is decided in goodput.py.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.errors import UsageError

Verdict = Literal["holds", "fails", "unsure"]

_SLO = re.compile(r"p(\d+(?:\.\d+)?)\s*(?:=|<=|<)\s*(\d+(?:\.\d+)?)\s*(ms|s)")
_BLOCKS = 20
_SMALLEST_BLOCK = 5


@dataclass(frozen=True, slots=True)
class Slo:
    """`percentile` percent of the requests are to take `bound_ms` at most."""

    percentile: float
    bound_ms: float

    @property
    def allowed(self) -> float:
        """The share of the requests that may take longer."""
        return 1 - self.percentile / 100

    @property
    def bound_s(self) -> float:
        return self.bound_ms / 1e3

    def __str__(self) -> str:
        return f"p{self.percentile:g}={self.bound_ms:g}ms"


def parse_slo(text: str) -> Slo:
    """Reads p99=100ms, p99.9<2s and the like. Raises UsageError for what is no such bound."""
    if not (match := _SLO.fullmatch(text.strip())):
        raise UsageError(f"{text!r} is no latency bound: write one like p99=100ms")
    percentile, bound = float(match[1]), float(match[2])
    if not 0 < percentile < 100:
        raise UsageError(f"{text!r}: a percentile lies between 0 and 100, like p99")
    if not bound > 0:
        raise UsageError(f"{text!r}: no request takes no time, give a bound above 0")
    return Slo(percentile, bound * (1e3 if match[3] == "s" else 1))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a sample has to say: `misses` of its `requests` took longer than the bound.

    Neighbours in a queue are late together, so n of them say less than n independent ones: as much as
    n / `inflation`.
    """

    requests: int
    misses: int
    inflation: float

    @property
    def independent(self) -> float:
        """As many independent requests would say as much."""
        return self.requests / self.inflation


def evidence(slo: Slo, latency_s: NDArray[np.float64]) -> Evidence:
    """Counts the misses among latencies that are in the order of their schedule.

    The inflation (design effect) is the variance between blocks of neighbours over that of independent ones:
    of being later than the bound or, so that there is something to compare where that is rare, than the 90th
    percentile.
    """
    n = len(latency_s)
    misses = int((latency_s > slo.bound_s).sum())
    length = n // _BLOCKS
    if length < _SMALLEST_BLOCK:
        return Evidence(n, misses, 1.0)
    late = latency_s > min(slo.bound_s, float(np.percentile(latency_s, 90)))
    blocks = late[: length * _BLOCKS].reshape(_BLOCKS, length).mean(axis=1)
    if_independent = late.mean() * (1 - late.mean()) / length
    inflation = float(blocks.var(ddof=1) / if_independent) if if_independent > 0 else 1.0
    return Evidence(n, misses, max(1.0, inflation))


def judge(slo: Slo, found: Evidence, risk: float) -> Verdict:
    """Is the bound kept by the server, and not just in the sample? Wrong with a probability of `risk`.

    "holds" where so few misses are that improbable with exactly the allowed share of them, "fails" where so
    many are.
    """
    n = math.floor(found.independent)
    misses = found.misses / found.inflation
    if at_most(math.ceil(misses), n, slo.allowed) <= risk:
        return "holds"
    if 1 - at_most(math.floor(misses) - 1, n, slo.allowed) <= risk:
        return "fails"
    return "unsure"


def least_requests(slo: Slo, risk: float) -> int:
    """So many independent requests, none of them late, are needed to be sure that the bound holds."""
    return math.ceil(math.log(risk) / math.log(slo.percentile / 100))


def at_most(count: int, n: int, share: float) -> float:
    """The probability of at most `count` hits in `n` independent tries that hit with probability `share`."""
    if count < 0:
        return 0.0
    if count >= n:
        return 1.0
    number = np.arange(count)
    steps = np.log((n - number) / (number + 1)) + math.log(share) - math.log1p(-share)
    logs = n * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)])
    return float(min(1.0, np.exp(logs).sum()))
