"""What batches take under TorchServe beyond what the profile says, alone and beside a placement's others.

The frontend, the sending of answers and what else runs on the host need the same cores and caches.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.placement.latencies import Curve


@dataclass(frozen=True, slots=True)
class ServedBatches:
    """Milliseconds from one batch to the next of a model's worker, of batches of 1 and of `batch` requests,
    while nobody else works, and while all others of the placement do."""

    model: str
    batch: int
    one_ms: float
    most_ms: float
    one_beside_ms: float
    most_beside_ms: float

    def host_ms(self, profile_ms: Curve) -> list[float]:
        """What is added to the profile's latencies, by batch size from index 1 on: on the line between what
        is known of the smallest and the largest."""
        added = [max(0.0, self.one_ms - profile_ms[1]), max(0.0, self.most_ms - profile_ms[self.batch])]
        return [float(ms) for ms in np.interp(range(self.batch + 1), [1, max(2, self.batch)], added)]

    def times_beside(self, batch: int) -> float:
        """How many times longer a batch takes beside all the others, at least 1."""
        known = [self.one_beside_ms / self.one_ms, self.most_beside_ms / self.most_ms]
        return max(1.0, float(np.interp(batch, [1, max(2, self.batch)], known)))


@dataclass(frozen=True)
class Beside:
    """Interference as it was measured: beside one of the others it is that part of what all of them cause."""

    batches: Mapping[str, ServedBatches]
    seats: int

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        return 1.0, self.batches[model].times_beside(batch) - 1

    def caused(self, model: str, size: int, batch: int) -> float:
        return 1 / max(1, self.seats - 1)
