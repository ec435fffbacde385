"""A profile's points, and the CSV file that holds them."""

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import replacing
from experiments.results.typed import record_from

SCHEMA = "# torchserve-mps profile, schema 1"
UNTOLD = "as archived"
"""The engine of a profile from before they were told."""


@dataclass(frozen=True, slots=True)
class Point:
    """A model's own forward pass on one share of one device, on batches of one size, alone on it.

    `share_percent` is what was asked for, `multiprocessors` what the process sees of a GPU, `cores` what it
    may use of a CPU. `executions` were timed over all rounds, results on the CPU; percentiles are of all of
    them, `latency_ms_p50_least` and `latency_ms_p50_most` those of the fastest and the slowest round.
    `memory_bytes` is what the process takes: the GPU's for its tensors, the CUDA context not included, or on
    a CPU what it has resident; both with batches of the largest size. `engine` is what it ran on.
    """

    device: str
    model: str
    precision: str
    share_percent: int
    multiprocessors: int | None
    cores: int | None
    batch_size: int
    executions: int
    latency_ms_mean: float
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_p99: float
    latency_ms_p50_least: float
    latency_ms_p50_most: float
    memory_bytes: int
    engine: str = UNTOLD


COLUMNS = {f.name: f.type for f in dataclasses.fields(Point)}


def write_points(path: Path, points: Sequence[Point]) -> None:
    """The file: a line that names the schema, one with the columns, one for each point; whole
    or not at all."""
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        file.write(SCHEMA + "\n")
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        rows.writerows(_rounded(dataclasses.asdict(point)) for point in points)


def read_points(path: Path) -> list[Point]:
    """The inverse. Raises UsageError where the file can't be read, ExperimentError where it is no profile."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if file.readline().rstrip("\r\n") != SCHEMA:
                raise ExperimentError(f"{path} is no profile: its first line is not '{SCHEMA}'")
            return [_point(path, number, row) for number, row in enumerate(csv.DictReader(file), 3)]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read ({error}): write one with `python -m mps.profile`") from error


def _point(path: Path, line: int, row: dict[str, str]) -> Point:
    try:
        told = [name for name in COLUMNS if name in row or name != "engine"]
        return record_from(Point, {name: _value(name, row[name]) for name in told})
    except (KeyError, TypeError, ValueError) as error:
        raise ExperimentError(f"{path}, line {line}: {error} is missing or wrong") from error


def _value(name: str, text: str) -> object:
    if COLUMNS[name] is str:
        return text
    if text == "":
        return None
    return float(text) if COLUMNS[name] is float else int(text)


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
