"""Whether memory grows: the median slope (Theil and Sen) over all pairs of samples of the same process. Pure.

A step or a peak moves that median little; what grows steadily does. A worker that was killed and its
successor are two processes: pairs are made within each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HOUR_S = 3600.0
FEWEST = 8  # samples of a process after its warm-up


def growth_percent_per_hour(lives: Sequence[Sequence[tuple[float, float]]], warm_up_s: float) -> float | None:
    """Of values over time, (seconds, value) for each process, without the first `warm_up_s` of each.

    The median of all slopes in percent of the median value an hour; None where no process lived long enough.
    Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968.
    """
    kept = [_after(life, warm_up_s) for life in lives]
    slopes = [_slopes(life) for life in kept if len(life) >= FEWEST]
    if not slopes:
        return None
    level = float(np.median(np.concatenate([life[:, 1] for life in kept if len(life) >= FEWEST])))
    return 100.0 * HOUR_S * float(np.median(np.concatenate(slopes))) / level


def _after(life: Sequence[tuple[float, float]], warm_up_s: float) -> NDArray[np.float64]:
    array = np.array(life, dtype=np.float64).reshape(-1, 2)
    return array[array[:, 0] >= array[0, 0] + warm_up_s] if len(array) else array


def _slopes(life: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of all pairs, per second."""
    first, second = np.triu_indices(len(life), 1)
    apart_s = life[second, 0] - life[first, 0]
    slopes: NDArray[np.float64] = (life[second, 1] - life[first, 1]) / apart_s
    return slopes
