"""How probable it is that a cell keeps a bound, as the full grid would judge it: by the median of its runs.

A p99 is much apart from run to run, and skewed: a stall makes one run's large. Whether the true one keeps the
bound may take more runs than a grid has; what the grid will say is known once a cell has as many.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtrc, ndtr, stdtrit

from experiments.base.arrays import Floats
from experiments.search.surface import Surface

QUANTILES = (np.arange(41) + 0.5) / 41  # that stand for all of what the true log may be


def chances_to_keep(
    limit_log: float, logs: Sequence[Floats], bounded: Surface, freedom: int, runs: int
) -> Floats:
    """Of each cell, that the median of `runs` runs is below the limit: (cells,).

    `logs` are those of each cell's runs so far; `bounded` tells the rest, with Student's t of that `freedom`.
    """
    below = np.array([np.sum(own < limit_log) for own in logs])[:, None]
    left = np.array([max(0, runs - own.size) for own in logs])[:, None]
    may_be = bounded.mean[:, None] + bounded.spread[:, None] * stdtrit(freedom, QUANTILES)
    each = ndtr((limit_log - may_be) / bounded.noise)
    needs = (runs + 1) // 2, runs // 2 + 1  # one and the same of an odd number
    found: Floats = np.mean([_at_least(need - below, left, each) for need in needs], axis=(0, 2))
    for index, own in enumerate(logs):
        if own.size >= runs:
            found[index] = float(np.median(own) < limit_log)
    return found


def _at_least(wanted: Floats, left: Floats, each: Floats) -> Floats:
    """The chance that so many of the runs that are left are below the limit, of which each is with that
    chance."""
    possible = np.clip(wanted, 1, np.maximum(left, 1))
    found: Floats = np.where(
        wanted <= 0, 1.0, np.where(wanted > left, 0.0, bdtrc(possible - 1, np.maximum(left, 1), each))
    )
    return found
