"""The limit against the same probabilities, calculated one by one over a grid that is as fine as it gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pytest

from experiments.load.goodput.evidence import Evidence
from experiments.load.goodput.limit import Expected, fitted
from experiments.plan import Slo

P99_100MS = Slo(99, 100)
STEEPS = [0.2 * 20 ** (step / 14) for step in range(15)]
"""Of the slope over limit * bound: 15 from 0.2 to 4.0, at equal ratios."""

POINTS = 300

Looks = Sequence[tuple[float, Evidence]]


@dataclass(frozen=True)
class ByHand:
    """What is asked for: the allowed share `late`, the `bound_s`, looks, and what is expected of them."""

    slo: Slo
    looks: Looks
    expected: Expected

    @property
    def near(self) -> tuple[float, float]:
        """The shares in between which are told apart: a sixth and six times the allowed one, but never more
        than half way from it to all."""
        allowed = self.slo.allowed
        return allowed / 6, min(6 * allowed, (1 + allowed) / 2)

    def clipped(self, share: float) -> float:
        return min(max(share, self.near[0]), self.near[1])

    def share(self, rate: float, limit: float, steep: float) -> float:
        """The share that is late: the line in log(rate) passes through the allowed share at the limit."""
        line = math.log(-math.log(1 - self.slo.allowed)) + self.slope(limit, steep) * math.log(rate / limit)
        return self.clipped(1 - math.exp(-math.exp(min(line, 3.0))))

    def slope(self, limit: float, steep: float) -> float:
        return min(max(steep * limit * self.slo.bound_s, 3.0), 60.0)

    @cached_property
    def independent(self) -> list[float]:
        """How many independent requests each look is worth: with the mean inflation of those that are not far
        above the limit, if its own is less."""
        near = [found for _, found in self.looks if found.misses <= self.near[1] * found.requests]
        all_near = sum(found.requests for found in near)
        mean = sum(found.requests * found.inflation for found in near) / all_near if all_near else 1.0
        return [found.requests / max(found.inflation, mean) for _, found in self.looks]

    @cached_property
    def seen(self) -> list[float]:
        """The share that was late in each look. Half a miss is shared out among them."""
        worth = self.independent
        shares = []
        for (_, found), n in zip(self.looks, worth, strict=True):
            half = math.sqrt(n / sum(worth)) / 2 if n else 0.0
            shares.append(
                self.clipped((found.misses * n / found.requests + half) / (n + 2 * half) if n else 0)
            )
        return shares

    def log_probability(self, limit: float, steep: float, scatter: float) -> float:
        told = -math.log(1 + (math.log(limit / self.expected.rate_rps) / self.expected.spread) ** 2)
        told -= (math.log(steep / 0.9) / 0.5) ** 2 / 2
        if self.expected.capacity_rps is not None and limit > self.expected.capacity_rps:
            told -= 1.5 * math.log(1 + (math.log(limit / self.expected.capacity_rps) / 0.04) ** 2)
        for (rate, _), n, seen in zip(self.looks, self.independent, self.seen, strict=True):
            share = self.share(rate, limit, steep)
            told += n / scatter * (seen * math.log(share) + (1 - seen) * math.log(1 - share))
        return told

    def scatter(self, limit: float, steep: float) -> float:
        """Chi-squared of the looks that tell, over their number less 2; four at least, and not below 1."""
        squares = []
        for (rate, _), n, seen in zip(self.looks, self.independent, self.seen, strict=True):
            share = self.share(rate, limit, steep)
            if self.near[0] < share < self.near[1] and n:
                squares.append((seen - share) ** 2 * n / (share * (1 - share)))
        return max(1.0, sum(squares) / (len(squares) - 2)) if len(squares) >= 4 else 1.0

    def limits(self, confidence: float, scatter: float, low: float, high: float) -> list[float]:
        """The least, the middle and the most of the limit, and the slope at the middle."""
        limits = [low * (high / low) ** (step / (POINTS - 1)) for step in range(POINTS)]
        logs = [[self.log_probability(limit, steep, scatter) for steep in STEEPS] for limit in limits]
        top = max(map(max, logs))
        weights = [[math.exp(log - top) for log in of_limit] for of_limit in logs]
        whole = sum(map(sum, weights))
        wanted = [(1 - confidence) / 2, 0.5, (1 + confidence) / 2]
        found: list[float] = []
        below, ratio = 0.0, (high / low) ** (1 / (POINTS - 1))
        for limit, of_limit in zip(limits, weights, strict=True):
            part = sum(of_limit) / whole
            while len(found) < 3 and below + part >= wanted[len(found)]:
                found.append(limit * ratio ** ((wanted[len(found)] - below) / part - 0.5))
            below += part
        columns = [sum(column) for column in zip(*weights, strict=True)]
        steep = math.exp(sum(w * math.log(s) for w, s in zip(columns, STEEPS, strict=True)) / whole)
        return [*found, self.slope(found[1], steep)]

    def best(self, low: float, high: float, scatter: float) -> tuple[float, float]:
        limits = [low * (high / low) ** (step / 100) for step in range(101)]
        pairs = [(limit, steep) for limit in limits for steep in STEEPS]
        return max(pairs, key=lambda pair: self.log_probability(*pair, scatter))


def seen_at(rate: float, requests: int, misses: int, inflation: float = 1.0) -> tuple[float, Evidence]:
    return rate, Evidence(requests, misses, inflation)


AROUND = [seen_at(280, 6000, 20, 3.0), seen_at(300, 9000, 95, 5.0), seen_at(310, 4000, 90, 1.0)]
FAR = [seen_at(150, 2000, 0), seen_at(300, 3000, 25, 2.0), seen_at(480, 2000, 1400, 40.0)]
SCATTERED = [
    seen_at(rate, 3000, misses, 1.5)
    for rate, misses in ((270, 40), (280, 5), (290, 60), (300, 18), (305, 90), (330, 70))
]
AGREE = [seen_at(rate, 4000, misses) for rate, misses in ((285, 20), (295, 33), (300, 41), (310, 66))]
MEDIAN = [seen_at(rate, 400, misses, 2.0) for rate, misses in ((90, 60), (100, 190), (110, 380))]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("slo", "looks", "expected", "near"),
    [
        pytest.param(P99_100MS, AROUND, Expected(290, 0.25), 0.01, id="looks around the limit"),
        pytest.param(P99_100MS, AROUND, Expected(200, 0.1, 280), 0.01, id="a capacity that was reached"),
        pytest.param(P99_100MS, FAR, Expected(310, 0.25, 290), 0.01, id="looks far from the limit"),
        pytest.param(P99_100MS, FAR[:1], Expected(200, 0.25, 210), 0.02, id="one that holds"),
        pytest.param(P99_100MS, FAR[2:], Expected(450, 0.25), 0.02, id="one that fails"),
        pytest.param(P99_100MS, AGREE, Expected(300, 0.25), 0.02, id="looks that agree"),
        pytest.param(P99_100MS, SCATTERED, Expected(300, 0.25), 0.12, id="looks that scatter"),
        pytest.param(
            P99_100MS, [*AROUND, seen_at(295, 0, 0)], Expected(290, 0.25), 0.01, id="one of nothing"
        ),
        pytest.param(Slo(50, 50), MEDIAN, Expected(90, 0.25), 0.01, id="a median"),
    ],
)
def test_the_limit_is_what_its_probabilities_say(
    slo: Slo, looks: Looks, expected: Expected, near: float
) -> None:
    """But for a part `near` of its interval: how far looks scatter is known from a coarser grid."""
    found = fitted(slo, looks, expected, 0.9)
    by_hand = ByHand(slo, looks, expected)
    scatter = 1.0
    for _ in range(2):
        best = by_hand.best(found.least_rps * 0.8, found.most_rps * 1.25, scatter)
        scatter = by_hand.scatter(*best)
    rates, wide = [expected.rate_rps, *(rate for rate, _ in looks)], math.exp(found.width * 8 + 0.1)
    low = max(found.rate_rps / wide, min(rates) / 16)
    least, middle, most, slope = by_hand.limits(0.9, scatter, low, found.rate_rps * wide)
    for own, exact in ((found.least_rps, least), (found.rate_rps, middle), (found.most_rps, most)):
        assert math.log(own) == pytest.approx(math.log(exact), abs=near * found.width)
    assert found.slope == pytest.approx(slope, rel=0.01)
