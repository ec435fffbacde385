"""Measurements that take turns, so that whatever else the machine does falls on all of them alike.

Here: the order of turns, a comparison of two rivals, and how long it may take. Not here: what is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from experiments.base.errors import ExperimentError

T = TypeVar("T")
Measure = Callable[[], float]
Tell = Callable[[str], None]


class BenchmarkError(ExperimentError):
    """A run gave no figures that may be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a comparison may take: `rounds` in which each rival is measured once, and their seconds.

    A run is `warm_up_s` of load that isn't counted and `duration_s` that is. Before the rounds, every set of
    settings that might be a rival's best is tried for `trial_s`.
    """

    rounds: int = 5
    duration_s: float = 4.0
    warm_up_s: float = 1.0
    trial_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Throughputs of two rivals in requests/s, each in the order of measurement: run n against run n."""

    ours_rps: Sequence[float]
    other_rps: Sequence[float]

    @property
    def ratio(self) -> float:
        """Ours as a multiple of the other's: the median over the rounds.

        The two runs of a round are neighbours in time, so what slows the machine for a while cancels out.
        """
        return statistics.median(map(_divide, self.ours_rps, self.other_rps))

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a round."""
        ratios = list(map(_divide, self.ours_rps, self.other_rps))
        return min(ratios), max(ratios)

    def __str__(self) -> str:
        least, most = self.range
        return (
            f"{statistics.median(self.ours_rps):,.1f} against {statistics.median(self.other_rps):,.1f} "
            f"requests/s: {self.ratio:.3f} ({least:.3f} to {most:.3f} in {len(self.ours_rps)} rounds)"
        )


def compare(ours: Measure, other: Measure, rounds: int) -> Comparison:
    """Measures the two in turns: ours, other, other, ours, ours ... `rounds` runs of each."""
    runs = take_turns({"ours": ours, "other": other}, rounds)
    return Comparison(runs["ours"], runs["other"])


def take_turns(rivals: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each rival's runs gave, by its name. Every second round goes the other way round."""
    runs: dict[str, list[T]] = {name: [] for name in rivals}
    for number in range(rounds):
        names = list(rivals)
        for name in names if number % 2 == 0 else reversed(names):
            runs[name].append(rivals[name]())
    return runs


def _divide(ours: float, other: float) -> float:
    return ours / other
