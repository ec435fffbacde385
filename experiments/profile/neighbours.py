"""Batches that ran side by side, and how much slower one of them was."""

from dataclasses import dataclass

from experiments.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Batch:
    """Batches of `batch` of a model, on a part of `size`."""

    model: str
    size: int
    batch: int


@dataclass(frozen=True, slots=True)
class Pair:
    """`own` took `times` as long beside `others` (one, or several) as alone on the same part.

    Raises UsageError where that is no positive number, or nobody is beside it.
    """

    own: Batch
    others: tuple[Batch, ...]
    times: float

    def __post_init__(self) -> None:
        if not self.others:
            raise UsageError(f"{self.own.model}: nobody is beside it: name at least one neighbour")
        if not 0 < self.times < float("inf"):
            raise UsageError(f"{self.own.model}: {self.times:g} times as long can't be: use a number above 0")
