"""A time by the size of a batch, between and beyond the sizes that were measured."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Curve:
    """Times in ms by batch size: `points` ascend in both, and there is at least one. Made by `curve`."""

    points: tuple[tuple[int, float], ...]

    def at(self, size: int) -> float:
        """The time of a batch of `size`, in ms: straight lines between the points, the last of them onwards
        above; below the first it shrinks along the first line, but no faster than the size does. A single
        point is scaled with the size."""
        sizes, times_ms = zip(*self.points, strict=True)
        if len(self.points) == 1:
            return float(times_ms[0] * size / sizes[0])
        if size < sizes[0]:
            slope_ms = (times_ms[1] - times_ms[0]) / (sizes[1] - sizes[0])
            return float(max(times_ms[0] - slope_ms * (sizes[0] - size), times_ms[0] * size / sizes[0]))
        if size > sizes[-1]:
            slope_ms = (times_ms[-1] - times_ms[-2]) / (sizes[-1] - sizes[-2])
            return float(times_ms[-1] + slope_ms * (size - sizes[-1]))
        return float(np.interp(size, sizes, times_ms))

    def distance(self, size: int) -> str:
        """'measured', 'between' two that were, or 'beyond' them."""
        sizes = [each for each, _ in self.points]
        index = bisect_left(sizes, size)
        if index < len(sizes) and sizes[index] == size:
            return "measured"
        return "between" if 0 < index < len(sizes) else "beyond"


def curve(measured: Iterable[tuple[int, float]]) -> Curve:
    """The curve through (batch size, ms): where a larger batch took less than a smaller one, which is noise,
    both get their mean (isotonic regression by pooling adjacent violators, Barlow and others 1972).

    Raises ValueError without a point.
    """
    pools: list[tuple[float, list[int]]] = []
    for size, time_ms in sorted(measured):
        pools.append((time_ms, [size]))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (last_ms, last), (before_ms, before) = pools.pop(), pools.pop()
            both = [*before, *last]
            pools.append(((before_ms * len(before) + last_ms * len(last)) / len(both), both))
    points = tuple((size, time_ms) for time_ms, sizes in pools for size in sizes)
    if not points:
        raise ValueError("a curve needs a point")
    return Curve(points)
