"""What tells the cells of a plan apart, and how alike two values of it are: of any setting that differs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.base.arrays import Floats
from experiments.plan import Cell

REACH = 1.0  # times an axis, on log scale: how far what one value shows tells of another

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting with more than one value. `values_of` (cells,) is the number of each cell's value, `alike`
    (values, values) how much one tells of another: 1 all, 0 nothing."""

    name: str
    values_of: Indices
    alike: Floats

    def between(self, one: Indices, other: Indices) -> Floats:
        """How alike cells are on this axis, by their numbers: (one, other)."""
        found: Floats = self.alike[np.ix_(self.values_of[one], self.values_of[other])]
        return found


def axes_of(cells: Sequence[Cell]) -> tuple[Axis, ...]:
    """The axes of a plan's cells; none where there is a single cell."""
    found = []
    for field in fields(Cell):
        own = [getattr(cell, field.name) for cell in cells]
        values = list(dict.fromkeys(own))
        if len(values) > 1:
            number = {value: index for index, value in enumerate(values)}
            found.append(
                Axis(field.name, np.array([number[value] for value in own], np.intp), _alike(values))
            )
    return tuple(found)


def _alike(values: Sequence[Any]) -> Floats:
    """Numbers that are near each other on log scale are alike; a name is like itself only, as is no value."""
    alike = np.eye(len(values))
    numbers = {index: log(value) for index, value in enumerate(values) if _is_number(value)}
    span = max(numbers.values(), default=0.0) - min(numbers.values(), default=0.0)
    for i, own in numbers.items():
        for j, other in numbers.items():
            alike[i, j] = _matern(abs(own - other) / (REACH * span)) if i != j else 1.0
    return alike


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _matern(distance: float) -> float:
    """The Matern covariance of smoothness 5/2: Rasmussen and Williams, Gaussian Processes for Machine
    Learning, equation 4.17."""
    far = sqrt(5) * distance
    return float((1 + far + far**2 / 3) * np.exp(-far))


def typical(axes: Sequence[Axis], cells: int) -> Floats:
    """How much each of so many cells tells of all others, (cells,): most in the middle of the axes."""
    shares = [np.bincount(axis.values_of, minlength=len(axis.alike)) / cells for axis in axes]
    found = [(axis.alike @ share)[axis.values_of] for axis, share in zip(axes, shares, strict=True)]
    return np.sum(found, axis=0) if found else np.zeros(cells)
