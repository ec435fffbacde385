"""The ceilings of a sweep: roofline, bare model and empty handler of each configuration, and their file.

What a served figure is compared with. Pure but for ceilings.json; measured in ceilings/.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.base.files import bytes_of, write_json
from experiments.plan import LIMITS, Cell, limits_told
from experiments.results.roofline import Peaks, Work, roofline
from experiments.results.typed import record_from, strictly_parsed

SCHEMA_VERSION = 1
FILE = "ceilings.json"
# What tells two configurations apart; a summary has these columns too.
KEYS = ("mps", "engine", "precision", *LIMITS, "workers", "batch_size")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What one configuration could reach, in requests a second. None: not measured, or not known.

    `bare_rps`: as many processes as workers run the handler's forward pass alone, `bare_batch_ms` a batch;
    `handled_batch_ms` with all of the handler's work on it, such as reading texts or images.
    `empty_rps`: TorchServe with these settings serves a model that does nothing, with `empty_in_flight`
    requests at once. `flops` and `bytes_per_s` are the peaks that the same processes reach with large
    products and copies.
    """

    mps: bool
    precision: str | None
    thread_percentage: int | None
    workers: int
    batch_size: int
    threads: int
    bare_rps: float | None = None
    bare_batch_ms: float | None = None
    empty_rps: float | None = None
    flops: float | None = None
    bytes_per_s: float | None = None
    memory_limit_mib: int | None = None
    sm_chunks: int | None = None
    engine: str | None = None
    handled_batch_ms: float | None = None
    empty_in_flight: int | None = None

    @property
    def limits(self) -> list[str]:
        """What MPS allows each process, in words."""
        return limits_told(*(getattr(self, name) for name in LIMITS))

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of KEYS."""
        return tuple(getattr(self, key) for key in KEYS)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The ceilings of a plan's cells, and of the bare model at more batch sizes than the plan's.

    `work` is what a request consists of, `datasheet` what the device's maker promises in that precision;
    None where it could not be told. `problems`: what could not be measured, and why.
    """

    work: Work | None
    datasheet: Peaks | None
    rows: tuple[Ceiling, ...]
    problems: tuple[str, ...] = ()

    def of(self, cell: Cell) -> Ceiling | None:
        """The ceilings of a cell of the plan; None where several inputs share a request."""
        key = tuple(getattr(cell, key) for key in KEYS)
        return next((row for row in self.rows if row.key == key and cell.client_batch == 1), None)

    def roofline_rps(self, row: Ceiling) -> float | None:
        """The roofline of `row`, by the peaks measured beside it."""
        if self.work is None or row.flops is None or row.bytes_per_s is None:
            return None
        peaks = Peaks(row.flops, row.bytes_per_s, "measured")
        return roofline(self.work, row.batch_size, peaks).throughput_rps

    def datasheet_rps(self, row: Ceiling) -> float | None:
        """The roofline of `row`, by what the device's maker promises."""
        if self.work is None or self.datasheet is None:
            return None
        return roofline(self.work, row.batch_size, self.datasheet).throughput_rps

    def bare_over_roofline(self, row: Ceiling) -> float | None:
        """How near the bare model is to what the device can do, by measured peaks."""
        limit = self.roofline_rps(row)
        return row.bare_rps / limit if row.bare_rps and limit else None

    def best_bare(self) -> Ceiling | None:
        """Where the bare model reaches most."""
        measured = [row for row in self.rows if row.bare_rps]
        return max(measured, key=lambda row: row.bare_rps or 0.0, default=None)


def write_ceilings(folder: Path, ceilings: Ceilings) -> None:
    """Writes ceilings.json: the fields of Ceilings, and for each row its rooflines. Raises OSError."""
    content = {"schema_version": SCHEMA_VERSION, **asdict(ceilings)}
    for told, row in zip(content["rows"], ceilings.rows, strict=True):
        told["roofline_rps"] = ceilings.roofline_rps(row)
        told["datasheet_rps"] = ceilings.datasheet_rps(row)
    write_json(folder / FILE, content)


def read_ceilings(folder: Path) -> Ceilings | None:
    """The ceilings of a results folder; None where none were measured. Raises ExperimentError."""
    path = folder / FILE
    try:
        content = strictly_parsed(bytes_of(path))
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            raise ExperimentError(f"{path} has another schema version: measure with --ceilings again")
        found = record_from(Ceilings, content)
        _check_sense(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path} is damaged ({error}): measure with --ceilings again") from error
    return found


def _check_sense(ceilings: Ceilings) -> None:
    """Raises ValueError for what no device can do: peaks of nothing, a configuration with two of them."""
    peaks = [(row.flops, row.bytes_per_s) for row in ceilings.rows]
    if ceilings.datasheet:
        peaks.append((ceilings.datasheet.flops, ceilings.datasheet.bytes_per_s))
    if any(value is not None and value <= 0 for pair in peaks for value in pair):
        raise ValueError("flops and bytes_per_s must be above 0")
    work = ceilings.work
    if work and not (work.flop > 0 and work.activation_bytes >= 0 and work.weight_bytes >= 0):
        raise ValueError("flop must be above 0, bytes 0 or more")
    rates = [
        value
        for row in ceilings.rows
        for value in (row.bare_rps, row.empty_rps, row.bare_batch_ms, row.handled_batch_ms)
    ]
    if any(value is not None and value < 0 for value in rates):
        raise ValueError("a rate or a time is below 0")
    if any(row.batch_size < 1 for row in ceilings.rows):
        raise ValueError("batch_size must be 1 or more")
