"""Times of answers -> does their rate change? A warm-up ends when it no longer does, a trial is flagged when
it still does.

Answers come batch by batch, so a rate counted over a moment says little. Here the counts of equal slices of
two neighbouring stretches are compared by Welch's t: where batches make the counts jump, a larger difference
is needed. Pure functions of numbers; who measures, and what follows, lives elsewhere.
"""

from math import sqrt

import numpy as np
from scipy.special import stdtr  # scipy.stats has it too, but takes a second to import

from experiments.base.arrays import Floats

SLICES = 6  # of each stretch
SURE = 0.99
STEADY = 0.05  # a rate that changes by less is steady
DRIFTS = 0.10  # a trial whose halves differ by more is flagged


def steady(ends_s: Floats, until_s: float) -> bool:
    """Whether the last third before `until_s` (of the answers' clock, which begins with the load at 0) is not
    shown to be faster or slower than the third before it, by STEADY or more. Without an answer it is not."""
    third_s = until_s / 3
    return bool(ends_s.size) and abs(shown_change(ends_s, third_s, 2 * third_s, until_s)) < STEADY


def drift(ends_s: Floats, window_s: float) -> float:
    """By which share of the mean the rate of a window's second half is above that of its first; 0 where that
    is less than DRIFTS, or not shown. `ends_s` count from the window's begin."""
    change = shown_change(ends_s, 0.0, window_s / 2, window_s)
    return change if abs(change) >= DRIFTS else 0.0


def shown_change(ends_s: Floats, begin_s: float, middle_s: float, end_s: float) -> float:
    """(late - early) / mean of the rates after and before `middle_s`; 0 where chance explains it (SURE)."""
    early, late = _counts(ends_s, begin_s, middle_s), _counts(ends_s, middle_s, end_s)
    mean = (early.mean() + late.mean()) / 2
    if mean == 0:
        return 0.0
    change = float((late.mean() - early.mean()) / mean)
    return change if _p(early, late) <= 1 - SURE else 0.0


def _counts(ends_s: Floats, begin_s: float, end_s: float) -> Floats:
    """The answers in each slice of a stretch; one at an edge belongs to the slice that it ends."""
    edges = np.linspace(begin_s, end_s, SLICES + 1)
    return np.diff(np.searchsorted(ends_s, edges, side="right")).astype(float)


def _p(a: Floats, b: Floats) -> float:
    """Two-sided, for means that are equal (Welch 1947)."""
    of_a, of_b = (float(each.var(ddof=1)) / each.size for each in (a, b))
    apart = abs(float(a.mean() - b.mean()))
    if of_a + of_b == 0:
        return 0.0 if apart else 1.0
    t = apart / sqrt(of_a + of_b)
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (a.size - 1) + of_b**2 / (b.size - 1))
    return 2 * float(stdtr(freedom, -t))
