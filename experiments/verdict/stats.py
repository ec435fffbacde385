"""Figures of runs -> how much they differ, how sure that is, and a verdict.

Exact and free of assumptions about the noise's shape: order statistics and the rank sum (Mann-Whitney).
Figures are positive (requests/s, requests/joule), larger is better. Cells, plans and files live elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from experiments.base.arrays import Floats
from experiments.plan.defaults import CONFIDENCE

Difference = Literal["better", "worse", "within noise", "not enough runs"]
OUTCOMES = ("better", "worse", "better by itself", "worse by itself", "within noise", "not enough runs")

_ROUNDING = 1e-12  # 1 - 0.95 is a little more than 0.05


@dataclass(frozen=True, slots=True)
class Median:
    """The median of some runs' figures and their range, which holds the true median with `confidence`."""

    median: float
    low: float
    high: float
    confidence: float
    runs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cell against another: `ratio` 1.2 says that the first has 1.2 times the other's figure.

    The interval from `low` to `high` holds the true ratio with `confidence`, for this pair by itself. `p` and
    `verdict_alone` are those of this pair by itself too; `p_corrected` and `verdict` allow for all the pairs
    that were looked at. A cell without runs gives NaN as ratio and an interval from 0 to infinity.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    p: float
    p_corrected: float
    verdict: Difference
    verdict_alone: Difference

    @property
    def outcome(self) -> str:
        """One of OUTCOMES: the verdict that allows for all pairs; where that is none, the pair's own."""
        if self.verdict in ("better", "worse"):
            return self.verdict
        if self.verdict_alone in ("better", "worse"):
            return f"{self.verdict_alone} by itself"
        return self.verdict


def median_of(figures: npt.ArrayLike) -> Median:
    """The median with its range. [min, max] misses the true median where all runs lie on one side of it:
    2 x 2^-n. Raises ValueError without a figure."""
    values = np.asarray(figures, float)
    if not values.size:
        raise ValueError("no runs, no median")
    low, high = float(values.min()), float(values.max())
    return Median(float(np.median(values)), low, high, range_coverage(values.size), values.size)


def range_coverage(runs: int) -> float:
    """How often the range of so many runs holds the true median: five runs 93.75 %."""
    return 1 - 2.0 ** (1 - runs)


def hodges_lehmann(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """The ratio of a to b: the median of a run's figure over another's, over all pairs of runs, on log scale.

    `a` has shape (..., m), `b` (..., n), the result (...). Hodges and Lehmann 1963.
    """
    return np.asarray(np.exp(np.median(_log_ratios(a, b), axis=-1)))


def ratio_interval(
    a: npt.ArrayLike, b: npt.ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats, float]:
    """Low and high end, of shape (...), of the interval for the ratio of a to b, and its confidence.

    The ratios of all pairs of runs are sorted and as many cut off at each end as the exact distribution of
    the Mann-Whitney statistic allows (Hollander and Wolfe, Nonparametric Statistical Methods, 4.3). The
    confidence comes in steps: what is returned is at least the one asked for, where the runs are enough for
    that, else the most that they give, which is the range of all ratios. Five against five: 96.8 % for 95 %.
    """
    ratios = np.sort(_log_ratios(a, b), axis=-1)
    below = rank_sum_cdf(np.shape(a)[-1], np.shape(b)[-1])
    cut = max(0, int(np.sum(2 * below <= 1 - confidence + _ROUNDING)) - 1)
    low, high = ratios[..., cut], ratios[..., ratios.shape[-1] - 1 - cut]
    return np.exp(low), np.exp(high), max(0.0, 1 - 2 * float(below[cut]))


def mann_whitney_p(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """The exact two-sided p of shape (...): how often runs of equal cells are this far apart, or farther.

    Figures that tie count for either order, whichever speaks less for a difference: ties come from rounding,
    and whatever the order was before, p is not too small. So p <= 1 - c just when the interval of achieved
    confidence c excludes 1. Without ties it is SciPy's mannwhitneyu(method="exact"), which has neither the
    table that the interval needs nor an exact answer to ties.
    """
    ratios = _log_ratios(a, b)
    less_extreme = np.minimum(np.sum(ratios <= 0, axis=-1), np.sum(ratios >= 0, axis=-1))
    below = rank_sum_cdf(np.shape(a)[-1], np.shape(b)[-1])
    p: Floats = np.minimum(1.0, 2 * below[less_extreme])
    return p


@cache
def rank_sum_cdf(m: int, n: int) -> Floats:
    """P(U <= u) for u from 0 to m*n: U counts the pairs of runs in which the first cell's is the larger, with
    m and n runs of equal cells.

    The numbers of orderings by U are the coefficients of the Gaussian binomial: prod (1-q^(n+i))/(1-q^i).
    """
    orderings = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            orderings[u] -= orderings[u - n - i]
        for u in range(i, m * n + 1):
            orderings[u] += orderings[u - i]
    total, at_most = comb(m + n, m), 0
    below = []
    for ways in orderings:  # whole numbers until here: exact for any number of runs
        at_most += ways
        below.append(at_most / total)
    table = np.array(below)
    table.flags.writeable = False  # it is cached
    return table


def smallest_p(m: int, n: int) -> float:
    """The p of m against n runs that don't overlap at all: 0.0079 for five against five."""
    return min(1.0, 2 / comb(m + n, m))


def runs_needed(pairs: int, confidence: float = CONFIDENCE) -> int:
    """The runs of each cell from which on a single difference among so many pairs can be shown at all."""
    return next(n for n in count(1) if pairs * smallest_p(n, n) <= 1 - confidence + _ROUNDING)


def holm(p: npt.ArrayLike) -> Floats:
    """Corrected p of shape (..., pairs): those up to 0.05 hold together, all of them right in 95 % of grids.

    The smallest is multiplied by the number of pairs, the next by one less, and so on (Holm 1979).
    """
    values = np.asarray(p, float)
    order = np.argsort(values, axis=-1)
    ascending = np.take_along_axis(values, order, axis=-1)
    multiplied = ascending * np.arange(values.shape[-1], 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(multiplied, axis=-1))
    return np.take_along_axis(corrected, np.argsort(order, axis=-1), axis=-1)


def noise_floor(a: npt.ArrayLike, again: npt.ArrayLike) -> float:
    """How far apart one cell is that was measured twice, as a ratio of 1 or more. 1 without a run of each."""
    if not np.size(a) or not np.size(again):
        return 1.0
    ratio = float(hodges_lehmann(a, again))
    return max(ratio, 1 / ratio)


def compare(
    a: npt.ArrayLike, b: npt.ArrayLike, *, confidence: float = CONFIDENCE, noise_floor: float = 1.0
) -> Comparison:
    """One pair, the only one that is looked at."""
    (comparison,) = compare_all([(a, b)], confidence=confidence, noise_floor=noise_floor)
    return comparison


def compare_all(
    pairs: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    confidence: float = CONFIDENCE,
    noise_floor: float = 1.0,
) -> list[Comparison]:
    """All pairs of a grid, chosen before they were measured, each a's runs and b's runs.

    Verdicts are corrected by Holm: with `confidence` not a single 'better' or 'worse' of the grid is wrong.
    'not enough runs': the pair could not have been shown to differ if its runs did not overlap at all.
    `noise_floor` is the ratio of a cell to itself; a difference that is no larger is noise.
    """
    if not pairs:
        return []
    alone = [_measured(np.asarray(a, float), np.asarray(b, float), confidence) for a, b in pairs]
    p = np.array([pair.p for pair in alone])
    # Each pair's corrected p if its runs did not overlap, the other pairs as they are.
    apart = np.where(np.eye(len(p), dtype=bool), [[pair.least_p] for pair in alone], p)
    corrected = zip(alone, holm(p).tolist(), np.diagonal(holm(apart)).tolist(), strict=True)
    return [_judged(*each, confidence=confidence, floor=noise_floor) for each in corrected]


def compare_with_best(
    cells: Sequence[npt.ArrayLike], *, confidence: float = CONFIDENCE, noise_floor: float = 1.0
) -> tuple[int, dict[int, Comparison]]:
    """The number of the cell with the highest median, and its comparison with each other cell by number.

    The truly best cell is it, or among those that it is not shown to be 'better' than: with `confidence`.
    Whoever leads was chosen by looking, so p is corrected by the number of other cells (Bonferroni): then the
    best cell is missed in at most half of 1 - confidence, whichever other cell leads, and cells that are all
    equal leave a leader without rivals in at most 1 - confidence. Cells without runs can't lead.
    """
    samples = [np.asarray(cell, float) for cell in cells]
    leader = max(range(len(samples)), key=lambda i: np.median(samples[i]) if samples[i].size else 0.0)
    others = [i for i in range(len(samples)) if i != leader]
    judged = {}
    for other in others:
        alone = _measured(samples[leader], samples[other], confidence)
        # The highest median and yet the smaller ratio: nothing is shown.
        corrected = min(1.0, alone.p * len(others)) if alone.ratio > 1 else 1.0
        least = min(1.0, alone.least_p * len(others))
        judged[other] = _judged(alone, corrected, least, confidence=confidence, floor=noise_floor)
    return leader, judged


@dataclass(frozen=True, slots=True)
class _Measured:
    """A pair by itself; `least_p` is its p if its runs did not overlap."""

    ratio: float
    low: float
    high: float
    confidence: float
    p: float
    least_p: float


def _measured(a: Floats, b: Floats, confidence: float) -> _Measured:
    if not a.size or not b.size:
        return _Measured(float("nan"), 0.0, float("inf"), 1.0, 1.0, 1.0)
    low, high, achieved = ratio_interval(a, b, confidence)
    ratio, p = float(hodges_lehmann(a, b)), float(mann_whitney_p(a, b))
    return _Measured(ratio, float(low), float(high), achieved, p, smallest_p(a.size, b.size))


def _judged(
    alone: _Measured, p_corrected: float, least_p_corrected: float, *, confidence: float, floor: float
) -> Comparison:
    level = 1 - confidence + _ROUNDING
    return Comparison(
        ratio=alone.ratio,
        low=alone.low,
        high=alone.high,
        confidence=alone.confidence,
        p=alone.p,
        p_corrected=p_corrected,
        verdict=_verdict(alone.ratio, p_corrected <= level, least_p_corrected <= level, floor),
        verdict_alone=_verdict(alone.ratio, alone.p <= level, alone.least_p <= level, floor),
    )


def _verdict(ratio: float, shown: bool, could_be_shown: bool, floor: float) -> Difference:
    if not shown:
        return "within noise" if could_be_shown else "not enough runs"
    if 1 / floor <= ratio <= floor:
        return "within noise"
    return "better" if ratio > 1 else "worse"


def _log_ratios(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """log(a/b) for all pairs of runs, of shape (..., m*n)."""
    over, under = np.asarray(a, float), np.asarray(b, float)
    if np.any(over <= 0) or np.any(under <= 0):
        raise ValueError("figures must be above 0: leave failed runs out")
    ratios: Floats = np.log(over)[..., :, None] - np.log(under)[..., None, :]
    return ratios.reshape(*ratios.shape[:-2], -1)
