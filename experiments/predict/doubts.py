"""How sure a prediction is: what it lacks, each with the standard deviation that it adds to its logarithm."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

ALWAYS = 0.08
"""With everything measured: what a sweep of three short runs of a cell and ceilings of one window each differ
by on a shared machine of 2 cores."""

# Judged, not fitted: the recorded grids have every batch size and number of workers measured, and no GPU.
ADDED: Mapping[str, float] = {
    "between": 0.04,
    "beyond": 0.2,
    "on a GPU": 0.2,
    "the handler's work around its pass was not measured": 0.05,
    "the empty handler was not measured": 0.1,
    "another server, whose own work was not measured": 0.3,
    "the bare model was not measured with as many workers": 0.3,
    "the bare model was not measured with these settings": 0.7,
}


@dataclass(frozen=True, slots=True)
class Doubts:
    """What a prediction lacks, in words that ADDED knows."""

    lacking: tuple[str, ...] = ()

    def with_(self, why: str) -> "Doubts":
        """These and another."""
        return self if why in self.lacking else Doubts((*self.lacking, why))

    def at(self, distance: str) -> "Doubts":
        """These, for a batch size that is so far from those measured (`Curve.distance`)."""
        return self if distance == "measured" else self.with_(distance)

    @property
    def log_sd(self) -> float:
        """The standard deviation of ln(true throughput / predicted), its parts taken as independent."""
        return sqrt(ALWAYS**2 + sum(ADDED[why] ** 2 for why in self.lacking))
