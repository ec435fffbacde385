"""Sensitivity times pressure, both linear in what describes a batch, by alternating least squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.placement.fitting.features import Features
from experiments.profile.neighbours import Batch, Pair

Vector = npt.NDArray[np.float64]
Matrix = np.ndarray[Any, np.dtype[np.float64]]

SHARED_PENALTY = 1e-4
SPECIFIC_PENALTY = 3e-3
"""Of a squared coefficient, for each pair of the fit: those of a single model are kept small, so that few
pairs of it don't say too much."""


@dataclass(frozen=True)
class Bilinear:
    """Base, slope and pressure of a batch are straight lines over `features`, with a constant first.
    Neither a slope nor a pressure is below 0: neighbours make nothing faster."""

    features: Features
    base: Vector
    slope: Vector
    pressure: Vector

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        row = _row(self.features, Batch(model, size, batch))
        return float(row @ self.base), max(0.0, float(row @ self.slope))

    def caused(self, model: str, size: int, batch: int) -> float:
        return max(0.0, float(_row(self.features, Batch(model, size, batch)) @ self.pressure))


@dataclass(frozen=True)
class Additive:
    """Base and pressure are straight lines over `features`, and every batch feels pressure alike: the form of
    the gpu-let paper. A pressure may be below 0, as in its published constants."""

    features: Features
    base: Vector
    pressure: Vector

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        return float(_row(self.features, Batch(model, size, batch)) @ self.base), 1.0

    def caused(self, model: str, size: int, batch: int) -> float:
        return float(_row(self.features, Batch(model, size, batch))[1:] @ self.pressure)


def additive(pairs: Sequence[Pair], features: Features) -> Additive:
    """Least squares; the least of the solutions where several are."""
    own, others = _rows(pairs, features)
    solved = np.linalg.lstsq(np.hstack([own, others[:, 1:]]), _times(pairs), rcond=None)[0]
    found = np.asarray(solved, dtype=np.float64)
    width = own.shape[1]
    return Additive(features, found[:width], found[width:])


def bilinear(pairs: Sequence[Pair], features: Features, rounds: int = 12) -> Bilinear:
    """Alternating least squares relative to what was measured, from a pressure of 1 for every batch."""
    own, others = _rows(pairs, features)
    times = _times(pairs)
    specific = (False, *features.specific)
    width = own.shape[1]
    penalty = len(pairs) * np.where(specific, SPECIFIC_PENALTY, SHARED_PENALTY)
    penalty[0] = len(pairs) * 1e-6
    base, slope = np.zeros(width), np.zeros(width)
    pressure = np.zeros(width)
    pressure[0] = 1.0
    for _ in range(rounds):
        felt = _ridge(
            np.hstack([own, own * (others @ pressure)[:, None]]) / times[:, None],
            np.ones(len(times)),
            np.concatenate([penalty, penalty]),
        )
        base, slope = felt[:width], felt[width:]
        pressure = _ridge(others * (own @ slope)[:, None] / times[:, None], 1 - own @ base / times, penalty)
        # Slope times pressure is what counts: as long as one grows, the other's penalty shrinks.
        scale = float(np.sqrt(np.sum(slope**2) / max(np.sum(pressure**2), 1e-12)))
        if scale > 0:
            pressure, slope = pressure * np.sqrt(scale), slope / np.sqrt(scale)
    if np.mean(others @ pressure) < 0:
        pressure, slope = -pressure, -slope
    return Bilinear(features, base, slope, pressure)


def _ridge(rows: Matrix, wanted: Vector, penalty: Vector) -> Vector:
    return np.asarray(np.linalg.solve(rows.T @ rows + np.diag(penalty + 1e-9), rows.T @ wanted))


def _times(pairs: Sequence[Pair]) -> Vector:
    return np.array([pair.times for pair in pairs])


def _rows(pairs: Sequence[Pair], features: Features) -> tuple[Matrix, Matrix]:
    """What describes each pair's own batch, and the sum over its neighbours'."""
    known = {batch: _row(features, batch) for pair in pairs for batch in (pair.own, *pair.others)}
    own = np.array([known[pair.own] for pair in pairs])
    others = np.array(
        [sum((known[other] for other in pair.others), np.zeros(own.shape[1])) for pair in pairs]
    )
    return own, others


def _row(features: Features, batch: Batch) -> Vector:
    return np.array([1.0, *features.of(batch)])
