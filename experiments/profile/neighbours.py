"""Batches that ran side by side, how much slower one of them was, and the CSV file that holds it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.base.files import replacing

SCHEMA = "# torchserve-mps neighbours, schema 1"
MOST = 3
"""As many side by side have columns in the file."""
OWN = ("model", "share_percent", "batch_size")
TOLD = ("latency_ms", "times")
NEIGHBOURS = [tuple(f"{name}{number}" for name in OWN) for number in range(2, MOST + 1)]
COLUMNS = ("device", *OWN, *TOLD, *(name for names in NEIGHBOURS for name in names))


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


@dataclass(frozen=True, slots=True)
class Beside:
    """A pair as it was measured: on which device, and the median latency beside the others."""

    device: str
    pair: Pair
    latency_ms: float


def write_beside(path: Path, measured: Sequence[Beside]) -> None:
    """The file: a line that names the schema, one with the columns, one for each batch and its neighbours;
    whole or not at all."""
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        file.write(SCHEMA + "\n")
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for one in measured:
            row = [one.device, *_of(one.pair.own), f"{one.latency_ms:.6g}", f"{one.pair.times:.6g}"]
            row += [value for other in one.pair.others for value in _of(other)]
            rows.writerow(row + [""] * (len(COLUMNS) - len(row)))


def read_beside(path: Path) -> list[Beside]:
    """The inverse. Raises UsageError where the file can't be read or is none of these."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if file.readline().rstrip("\r\n") != SCHEMA:
                raise UsageError(f"{path} holds no neighbours: its first line is not '{SCHEMA}'")
            found = [_beside(path, number, row) for number, row in enumerate(csv.DictReader(file), 3)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} can't be read ({error}): write one with `python -m mps.profile --pairs`"
        ) from error
    if not found:
        raise UsageError(f"{path} holds no neighbours: write some with `python -m mps.profile --pairs`")
    return found


def _of(batch: Batch) -> tuple[str, int, int]:
    return batch.model, batch.size, batch.batch


def _beside(path: Path, line: int, row: dict[str, str | None]) -> Beside:
    try:
        others = tuple(_batch(row, names) for names in NEIGHBOURS if row.get(names[0]))
        pair = Pair(_batch(row, OWN), others, float(row["times"] or ""))
        return Beside(row["device"] or "", pair, float(row["latency_ms"] or ""))
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise UsageError(f"{path}, line {line}: {error} is missing or wrong") from error


def _batch(row: dict[str, str | None], names: tuple[str, ...]) -> Batch:
    model, size, batch = (row[name] or "" for name in names)
    if not model or int(size) < 1 or int(batch) < 1:
        raise ValueError(", ".join(names))
    return Batch(model, int(size), int(batch))
