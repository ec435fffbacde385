"""How much slower a batch is beside others on the same GPU: models behind one interface.

A batch beside neighbours takes `max(1, base + slope * pressure)` times as long as alone on its part, where
base and slope are its own and pressure is the sum of what the neighbours cause. The gpu-let paper's linear
model is of this form, and so is every other here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from experiments.placement.latencies import Curve


class Interference(Protocol):
    """What a batch feels of its neighbours, and what it does to them."""

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        """Base and slope of a batch's own factor."""
        ...

    def caused(self, model: str, size: int, batch: int) -> float:
        """The pressure that a batch puts on each of its neighbours."""
        ...


def factor(felt: tuple[float, float], pressure: float) -> float:
    """How many times longer a batch takes, at least 1."""
    base, slope = felt
    return max(1.0, base + slope * pressure)


def factors(felt: tuple[Curve, Curve], pressure: float) -> Curve:
    """The same for many batches, whose bases and slopes are given."""
    base, slope = felt
    return np.maximum(1.0, base + slope * pressure)


@dataclass(frozen=True, slots=True)
class NoInterference:
    """Neighbours are not felt."""

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        return 1.0, 0.0

    def caused(self, model: str, size: int, batch: int) -> float:
        return 0.0


NOT_FELT = NoInterference()


@dataclass(frozen=True, slots=True)
class Use:
    """What a model's batches use of a whole GPU, as fractions, by batch size."""

    batches: tuple[int, ...]
    l2: tuple[float, ...]
    dram: tuple[float, ...]

    def at(self, batch: int) -> tuple[float, float]:
        """L2 and DRAM at a batch size, from the straight line between the known ones."""
        return (
            float(np.interp(batch, self.batches, self.l2)),
            float(np.interp(batch, self.batches, self.dram)),
        )


@dataclass(frozen=True)
class Linear:
    """The gpu-let paper's: factor = l2_own * L2_1 + l2_other * L2_2 + dram_own * DRAM_1 + dram_other * DRAM_2
    + constant, least squares over pairs (Choi et al., USENIX ATC 2022, section 4.4).

    L2 and DRAM are what a batch uses of the whole GPU, times its share, as in the paper's prototype.
    """

    l2_own: float
    l2_other: float
    dram_own: float
    dram_other: float
    constant: float
    uses: Mapping[str, Use] = field(default_factory=dict)

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        l2, dram = self._used(model, size, batch)
        return self.constant + self.l2_own * l2 + self.dram_own * dram, 1.0

    def caused(self, model: str, size: int, batch: int) -> float:
        l2, dram = self._used(model, size, batch)
        return self.l2_other * l2 + self.dram_other * dram

    def _used(self, model: str, size: int, batch: int) -> tuple[float, float]:
        if model not in self.uses:
            return 0.0, 0.0
        l2, dram = self.uses[model].at(batch)
        return l2 * size / 100, dram * size / 100
