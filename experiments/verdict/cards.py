"""How far apart the cards of a cluster are: that must not pass for a difference of cells."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.results import TrialResult, counting
from experiments.verdict.stats import noise_floor


def spread_of_cards(checks: Mapping[str, Sequence[TrialResult]]) -> float | None:
    """The ratio, 1 or more, of the fastest card to the slowest on the same cell, by all pairs of their runs
    (Hodges and Lehmann). None where less than two cards have valid runs of it.

    Figures are not divided by a card's own: that it is slower on one cell does not tell by how much on
    others.
    """
    rps = [[run.throughput_rps for run in counting(runs)] for runs in checks.values()]
    measured = sorted(filter(None, rps), key=lambda runs: float(np.median(runs)))
    return noise_floor(measured[-1], measured[0]) if len(measured) > 1 else None
