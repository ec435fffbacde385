"""What describes a batch on a part: numbers from which its sensitivity and its pressure are made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, log, log2
from typing import Protocol

import numpy as np

from experiments.placement.interference import Use
from experiments.placement.latencies import LatencyTable
from experiments.profile.neighbours import Batch


class Features(Protocol):
    """The numbers of a batch on a part, each about 0 to 1. `specific` are those of a single model."""

    def of(self, batch: Batch) -> tuple[float, ...]: ...

    @property
    def specific(self) -> tuple[bool, ...]: ...


@dataclass(frozen=True)
class Utilisation:
    """L2 and DRAM, as fractions: measured at the size where `at_size` has it, otherwise what is known of the
    whole GPU (`uses`) times the share. 0 for a model of which nothing is known."""

    uses: Mapping[str, Use]
    at_size: Mapping[tuple[str, int], Use]

    specific = (False, False)

    def of(self, batch: Batch) -> tuple[float, ...]:
        if (batch.model, batch.size) in self.at_size:
            return self.at_size[batch.model, batch.size].at(batch.batch)
        if batch.model not in self.uses:
            return 0.0, 0.0
        l2, dram = self.uses[batch.model].at(batch.batch)
        return l2 * batch.size / 100, dram * batch.size / 100


@dataclass(frozen=True, slots=True)
class Bytes:
    """What a model's batch moves at least: its weights once, and its activations for each input."""

    weights: float
    activations: float


GIGABYTES_PER_S = 1000.0
"""The unit of bytes a second, so that their number is about 1."""


@dataclass(frozen=True)
class Profiled:
    """Only what a profile measures, the same for all models: the size; how much of what the part can do at
    most a batch of this size gets from it; how much faster a larger part would be (0: bound by launches, 1:
    by the part); terabytes a second, and the size times how much faster a larger part would be. 0 where the
    profile doesn't say.
    """

    table: LatencyTable
    moved: Mapping[str, Bytes]

    specific = (False,) * 5

    def of(self, batch: Batch) -> tuple[float, ...]:
        curve = self.table.curve(batch.model, batch.size)
        share = batch.size / 100
        if not 0 < batch.batch < len(curve) or not isfinite(curve[batch.batch]):
            return share, 0.0, 0.0, 0.0, 0.0
        latency_ms = float(curve[batch.batch])
        most = float(np.max(np.arange(len(curve)) / curve))
        moved = self.moved.get(batch.model, Bytes(0, 0))
        traffic = (moved.weights + moved.activations * batch.batch) / latency_ms / 1e6 / GIGABYTES_PER_S
        bound = self._bound_by_the_part(batch)
        return share, batch.batch / latency_ms / most, bound, traffic, share * bound

    def _bound_by_the_part(self, batch: Batch) -> float:
        """Slope of the logarithms, between the neighbouring sizes that were measured at this batch."""
        known = [
            (size, float(curve[batch.batch]))
            for size in self.table.sizes(batch.model)
            if batch.batch < len(curve := self.table.curve(batch.model, size))
            and isfinite(curve[batch.batch])
        ]
        below = [point for point in known if point[0] < batch.size]
        above = [point for point in known if point[0] > batch.size]
        here = [point for point in known if point[0] == batch.size]
        low, high = (below[-1:] or here or above)[:1], (above[:1] or here or below)[-1:]
        if not low or not high or low[0][0] >= high[0][0]:
            return 0.0
        slope = log(low[0][1] / high[0][1]) / log(high[0][0] / low[0][0])
        return min(1.0, max(0.0, slope))


@dataclass(frozen=True, slots=True)
class Named:
    """The size, the batch and both together, for all models and for each of `models` again: what a model
    differs from the others by. A model that isn't among them is like the average."""

    models: tuple[str, ...]

    @classmethod
    def among(cls, batches: Iterable[Batch]) -> "Named":
        """Of all models that were measured."""
        return cls(tuple(sorted({batch.model for batch in batches})))

    @property
    def specific(self) -> tuple[bool, ...]:
        return (False,) * 5 + (True,) * (6 * len(self.models))

    def of(self, batch: Batch) -> tuple[float, ...]:
        share, doublings = batch.size / 100, log2(batch.batch) / 5
        shape = (share, doublings, share * doublings, share**2, doublings**2)
        own = (1.0, *shape)
        return shape + tuple(value * (batch.model == name) for name in self.models for value in own)
