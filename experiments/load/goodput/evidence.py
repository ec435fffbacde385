"""What a sample of latencies says about whether a bound is kept.

The p99 is within the bound where at most 1 in 100 requests takes longer: so those that take longer are
counted, and the count is compared with the binomial distribution. That is the order-statistic interval of
the percentile, seen from the bound. Which rates are tried, and for how long, is decided in search.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.plan import Slo

Verdict = Literal["holds", "fails", "unsure"]

_BLOCKS = 20
_SMALLEST_BLOCK = 5


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
