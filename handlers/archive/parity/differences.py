"""What an engine gave, beside what torch gave in fp32 -> the differences, and whether they are small enough.

Pure arithmetic on two tables of numbers; whose they are is measured.py's business.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = {"fp64": 1e-5, "fp32": 1e-5, "tf32": 5e-3, "fp16": 2e-2, "bf16": 3e-2, "int8": 1e-1}
"""Of a probability; of a score relative to its size, of a vector's numbers relative to its length."""

Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model gave, inputs x numbers. `values`: logits, scores of a regression, or vectors.
    `probabilities` are None where it is no classifier."""

    values: Table
    probabilities: Table | None = None


@dataclass(frozen=True, slots=True)
class Parity:
    """How far `engine` in `precision` is from torch in fp32 over so many `inputs`, `source` being whose.

    `largest` and `mean` are differences of logits; of vectors, relative to their length. `equal_labels` is
    the share of inputs whose most probable label is the same.
    """

    engine: str
    precision: str
    version: str
    inputs: int
    source: str
    largest: float
    mean: float
    largest_probability: float | None
    mean_probability: float | None
    equal_labels: float | None
    tolerance: float

    @property
    def decides(self) -> float:
        """The difference that is held against the tolerance: of probabilities where there are any."""
        return self.largest if self.largest_probability is None else self.largest_probability

    @property
    def within(self) -> bool:
        """Is it close enough? A value that is no number is not."""
        return self.decides <= self.tolerance

    def __str__(self) -> str:
        told = f"{self.engine} in {self.precision}, over {self.inputs} inputs, differs from torch in fp32 by "
        if self.largest_probability is None:
            told += f"{self.largest:.2g} at most and {self.mean:.2g} on average"
        else:
            told += (
                f"{self.largest_probability:.2g} of a probability at most and {self.mean_probability:.2g} on "
                f"average (logits {self.largest:.2g} and {self.mean:.2g}); {self.equal_labels:.1%} of the "
                "labels are equal"
            )
        return told if self.within else f"{told}: beyond the {self.tolerance:g} of {self.precision}"


def parity_of(
    engine: str, precision: str, version: str, source: str, expected: Outputs, found: Outputs
) -> Parity:
    """The differences between two tables of the same shape. One that is no number counts as infinite."""
    apart = _apart(expected.values, found.values, vectors=expected.probabilities is None)
    largest_probability = mean_probability = equal_labels = None
    if expected.probabilities is not None and found.probabilities is not None:
        off = _finite(np.abs(found.probabilities - expected.probabilities))
        largest_probability, mean_probability = float(off.max()), float(off.mean())
        same = found.probabilities.argmax(-1) == expected.probabilities.argmax(-1)
        equal_labels = float(same.mean())
    return Parity(
        engine,
        precision,
        version,
        len(expected.values),
        source,
        float(apart.max()),
        float(apart.mean()),
        largest_probability,
        mean_probability,
        equal_labels,
        TOLERANCE[precision],
    )


def _apart(expected: Table, found: Table, *, vectors: bool) -> Table:
    off = _finite(np.abs(found - expected))
    if not vectors:
        return off
    # A single score is a vector of one number: near 0 its own size says little.
    length = np.linalg.norm(expected, axis=-1, keepdims=True)
    return np.asarray(off / np.maximum(length, 1.0 if expected.shape[-1] == 1 else 1e-12), np.float32)


def _finite(off: Table) -> Table:
    return np.nan_to_num(off, nan=np.inf)
