"""What was asked for, and the ordered list of trials that answers it.

A Plan is plain data: read from options or a YAML file, written to plan.json, expanded into Trials by
a pure and seeded function. Nothing here touches a server, a clock or a disk.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Any

from experiments.errors import UsageError

# A worker that finds a full queue fills its batch at once; two requests per slot keep the queue full
# while every worker has a batch in flight, without the needless waiting that more would add.
REQUESTS_IN_FLIGHT_PER_SLOT = 2

# For estimates: a model's load with all its workers, and a run that is told in requests.
LOADING_S = 6.0
REQUESTS_TAKE_S = 5.0

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")  # what handlers/runtime.py knows


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One configuration that is compared with the others."""

    model: str
    mps: bool
    precision: str | None
    thread_percentage: int | None
    workers: int
    batch_size: int
    batch_delay_ms: int
    twin: bool = False  # the same as another cell: how far the two differ is the noise floor

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        share = f" at {self.thread_percentage} %" if self.thread_percentage else ""
        mps = ", MPS" if self.mps else ""
        twin = ", once more" if self.twin else ""
        return f"{self.model}, {workers}, batch size {self.batch_size}{mps}{share}{twin}"


@dataclass(frozen=True, slots=True)
class Load:
    """Closed-loop traffic: `connections` requests in flight, for `duration_s` or a number of `requests`."""

    connections: int
    duration_s: float | None
    requests: int | None
    warm_up_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement of one cell. `run` counts from 1, `position` is its place in the order from 0,
    `seed` that of the order of inputs."""

    cell: Cell
    load: Load
    run: int
    position: int
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep over workers x batch sizes. Raises UsageError where it makes no sense.

    `model` is bert, resnet50 or the path of an archive, whose name then stands for it in the cells.
    `with_mps` measures every cell without and with MPS, the latter at each `thread_percentage` if any is
    given (the share of the GPU's multiprocessors that a worker may use). `precision` None is the archive's.
    `concurrency` None means two requests in flight for every slot of every worker's batch.
    `requests` takes the place of `duration_s` when it is given. `tokens` makes texts of that many tokens.
    `goal` says in the words of advice.py what is best; `until_sure` adds runs only to cells that may still be
    it (deciding.py), and `budget_s` bounds the time that a start of the campaign takes.
    `noise_floor` measures the first cell twice, as itself and as its twin: what differs is noise.
    """

    model: str = "bert"
    workers: tuple[int, ...] = (1, 2)
    batch_size: tuple[int, ...] = (1, 4, 8)
    batch_delay_ms: int = 10
    concurrency: int | None = None
    duration_s: float | None = 3.0
    requests: int | None = None
    warm_up_s: float = 1.0
    runs: int = 5
    seed: int = 0
    interleave: bool = False
    noise_floor: bool = True
    with_mps: bool = False
    thread_percentage: tuple[int, ...] = ()
    precision: str | None = None
    tokens: int | None = None
    goal: str = "throughput"
    until_sure: bool = False
    budget_s: float | None = None
    input: str | None = None

    def __post_init__(self) -> None:
        _check_at_least(1, "workers", *self.workers)
        _check_at_least(1, "batch-size", *self.batch_size)
        # TorchServe 0.12.0 caps batches at 2 when max_batch_delay is 0 or negative.
        _check_at_least(1, "batch-delay", self.batch_delay_ms)
        _check_at_least(1, "runs", self.runs)
        for option in ("concurrency", "requests", "tokens"):
            if (value := getattr(self, option)) is not None:
                _check_at_least(1, option, value)
        if self.thread_percentage and not self.with_mps:
            raise UsageError("--thread-percentage is a setting of MPS: give --with-mps too")
        for percentage in self.thread_percentage:
            if not 1 <= percentage <= 100:
                raise UsageError(f"--thread-percentage must be from 1 to 100, not {percentage}")
        if self.precision not in (None, *PRECISIONS):
            raise UsageError(f"--precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if self.tokens is not None and self.input is not None:
            raise UsageError("--tokens makes our own texts, --input takes yours: give one of them")
        if (self.requests is None) == (self.duration_s is None):
            raise UsageError("give either --requests or --duration, not both and not neither")
        if self.duration_s is not None and not 0 < self.duration_s < float("inf"):
            raise UsageError(f"--duration must be above 0 seconds, not {self.duration_s:g}")
        if self.budget_s is not None and not 0 < self.budget_s < float("inf"):
            raise UsageError(f"--budget must be above 0 seconds, not {self.budget_s:g}")
        if not 0 <= self.warm_up_s < float("inf"):
            raise UsageError(f"--warm-up must be 0 or more seconds, not {self.warm_up_s:g}")

    def cells(self) -> list[Cell]:
        """Every configuration once, in the order in which tables show them; the twin comes last."""
        grid = product(dict.fromkeys(self.workers), dict.fromkeys(self.batch_size), self._arms())
        name = self.model.removesuffix(".mar").rsplit("/", 1)[-1]
        cells = [
            Cell(name, mps, self.precision, share, workers, batch, self.batch_delay_ms)
            for workers, batch, (mps, share) in grid
        ]
        return [*cells, replace(cells[0], twin=True)] if self.noise_floor else cells

    def trials(self) -> list[Trial]:
        """Every run of every cell, in the order in which they are measured.

        Cells come in seeded random order, those that can share a server together. All trials send the
        same inputs in the same order (the plan's seed): what differs is cell and machine.
        """
        order = random.Random(self.seed)
        visits = [
            (cell, run)
            for mps, runs in self._blocks()
            for cell in self._shuffled(order)
            if cell.mps == mps
            for run in runs
        ]
        return [
            Trial(cell, self.load_of(cell), run, position, self.seed)
            for position, (cell, run) in enumerate(visits)
        ]

    def load_of(self, cell: Cell) -> Load:
        """The traffic that `cell` gets."""
        connections = self.concurrency or REQUESTS_IN_FLIGHT_PER_SLOT * cell.workers * cell.batch_size
        return Load(connections, self.duration_s, self.requests, self.warm_up_s)

    def _blocks(self) -> list[tuple[bool, range]]:
        """The arm and the runs of each pass through the cells.

        By default there are two passes through all cells, each in an order of its own, so that a drift of
        the machine does not pass for a difference between cells, and a model is loaded only twice. With MPS
        the arm with it, in one pass, comes between the two. `interleave` makes a pass of every run
        (off, on, on, off, off, on, …), at the price of a load for every trial.
        """
        arms = (False, True) if self.with_mps else (False,)
        all_runs = range(1, self.runs + 1)
        if self.interleave:
            return [(mps, range(n, n + 1)) for n in all_runs for mps in (arms if n % 2 else arms[::-1])]
        half = (self.runs + 1) // 2
        passes = [(False, all_runs[:half]), (False, all_runs[half:])]
        if self.with_mps:
            passes.insert(1, (True, all_runs))
        return [(mps, runs) for mps, runs in passes if runs]

    def _arms(self) -> list[tuple[bool, int | None]]:
        """(MPS or not, thread percentage) of the cells of one number of workers and batch size."""
        if not self.with_mps:
            return [(False, None)]
        return [(False, None), *((True, share) for share in self.thread_percentage or (None,))]

    def _shuffled(self, order: random.Random) -> list[Cell]:
        """The cells in random order, but those of one server (workers, share) next to each other."""
        cells = self.cells()
        order.shuffle(cells)
        servers = {(cell.workers, cell.thread_percentage): index for index, cell in enumerate(cells)}
        return sorted(cells, key=lambda cell: servers[cell.workers, cell.thread_percentage])


def estimated_s(trials: Sequence[Trial]) -> float:
    """How long measuring `trials` in this order may take, in seconds; the machine decides in the end."""
    measuring_s = sum(trial.load.warm_up_s + (trial.load.duration_s or REQUESTS_TAKE_S) for trial in trials)
    loads = len(list(groupby(trials, key=lambda trial: trial.cell)))
    return measuring_s + loads * LOADING_S


def plan_from(values: Mapping[str, Any]) -> Plan:
    """A Plan from a YAML file's or a plan.json's mapping. Raises UsageError for an unknown key or type.

    A single number stands for a list of one; `requests` without `duration_s` replaces the default duration.
    """
    known = {f.name for f in dataclasses.fields(Plan)}
    if unknown := sorted(set(values) - known):
        raise UsageError(f"unknown plan key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    arguments = dict(values)
    for key in ("workers", "batch_size", "thread_percentage"):
        if key in arguments:
            arguments[key] = _whole_numbers(key, arguments[key])
    for key in ("batch_delay_ms", "concurrency", "requests", "runs", "seed", "tokens"):
        if arguments.get(key) is not None:
            (arguments[key],) = _whole_numbers(key, [arguments[key]])
    for key in ("duration_s", "warm_up_s", "budget_s"):
        if arguments.get(key) is not None and not _is_number(arguments[key]):
            raise UsageError(f"plan key {key!r} must be a number of seconds, not {arguments[key]!r}")
    for key in ("model", "input", "precision", "goal"):
        if arguments.get(key) is not None and not isinstance(arguments[key], str):
            raise UsageError(f"plan key {key!r} must be text, not {arguments[key]!r}")
    for key in ("interleave", "noise_floor", "until_sure", "with_mps"):
        if not isinstance(arguments.get(key, False), bool):
            raise UsageError(f"plan key {key!r} must be true or false, not {arguments[key]!r}")
    if arguments.get("requests") is not None and "duration_s" not in arguments:
        arguments["duration_s"] = None
    return Plan(**arguments)


def _whole_numbers(key: str, value: Any) -> tuple[int, ...]:
    numbers = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
        raise UsageError(f"plan key {key!r} must hold whole numbers, not {value!r}")
    return tuple(numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_at_least(least: int, option: str, *values: int) -> None:
    if not values:
        raise UsageError(f"--{option} needs at least one value")
    for value in values:
        if value < least:
            raise UsageError(f"--{option} must be {least} or more, not {value}")
