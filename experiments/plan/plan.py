"""A sweep: what was asked for, and the ordered list of trials that answers it.

A Plan is plain data: read from options or a YAML file, written to plan.json, expanded into Trials by
a pure and seeded function. Nothing here touches a server, a clock or a disk.
"""

import random
from dataclasses import dataclass, replace
from math import prod

from experiments.base.errors import UsageError
from experiments.base.shown import visible
from experiments.plan.cell import DEFAULT_DELAY_MS, LIMITS, Cell, full_queue
from experiments.plan.defaults import ARRIVALS, INPUT_STYLES, MOST_IN_FLIGHT
from experiments.plan.engines import check_pairs, pairs
from experiments.plan.servers import TORCHSERVE, check_servers
from experiments.plan.slo import parse_slo
from experiments.plan.trial import Load, Trial

MOST_TRIALS = 100_000  # some days of measuring, and what still fits memory as a list


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep over all combinations of its lists. Raises UsageError where it makes no sense.

    `model` is bert, resnet50 or the path of an archive, whose name then stands for it in the cells.
    `with_mps` measures every cell without and with MPS, the latter at each `thread_percentage` (the share of
    the GPU's multiprocessors that a worker may use) and each `sm_chunks` (of a static partition that all
    workers share) if any is given, and these at each `memory_limit_mib` of a worker's memory on the GPU. An
    `engine` or a `precision` None is the archive's; an engine is measured in those precisions that it has.
    Every server has all other combinations, but for MPS, which is TorchServe's alone.
    Without `concurrency`, a closed loop has two requests in flight for every slot of every worker's batch.
    Each `rate_rps` is sent in an open loop with `arrivals`; `slo` looks for the highest rate that keeps it.
    `client_batch` inputs share a request, and `processes` clients the load.
    `requests` takes the place of `duration_s` when it is given. `tokens` makes texts of that many tokens.
    `goal` says in the words of advice.py what is best; `until_sure` adds runs only to cells that may still be
    it (search/race.py), `search` measures only cells that may be it (search/), `budget_s` bounds the time
    that a start of the campaign takes.
    `input_as` says how the files of `input` are sent: each as the `body`, in a `form`, or in `json`.
    `check_answers` holds the answers of every trial against those that are right (answers/).
    `noise_floor` measures the first cell twice, as itself and as its twin: what differs is noise.
    """

    model: str = "bert"
    workers: tuple[int, ...] = (1, 2)
    batch_size: tuple[int, ...] = (1, 4, 8)
    batch_delay_ms: tuple[int, ...] = (DEFAULT_DELAY_MS,)
    concurrency: tuple[int, ...] = ()
    rate_rps: tuple[float, ...] = ()
    arrivals: str = ARRIVALS[0]
    slo: str | None = None
    client_batch: tuple[int, ...] = (1,)
    processes: int = 1
    duration_s: float | None = 3.0
    requests: int | None = None
    warm_up_s: float = 1.0
    runs: int = 5
    seed: int = 0
    interleave: bool = False
    noise_floor: bool = True
    with_mps: bool = False
    thread_percentage: tuple[int, ...] = ()
    memory_limit_mib: tuple[int, ...] = ()
    sm_chunks: tuple[int, ...] = ()
    server: tuple[str, ...] = (TORCHSERVE,)
    engine: tuple[str | None, ...] = (None,)
    precision: tuple[str | None, ...] = (None,)
    tokens: int | None = None
    goal: str = "throughput"
    until_sure: bool = False
    search: bool = False
    budget_s: float | None = None
    input: str | None = None
    input_as: str = INPUT_STYLES[0]
    check_answers: bool = True

    def __post_init__(self) -> None:
        if visible(self.model) != self.model or set("\n\t") & set(self.model):
            raise UsageError(
                f"--model {self.model!r}: it holds a control character: give the archive another name"
            )
        _check_at_least(1, "workers", *self.workers)
        _check_at_least(1, "batch-size", *self.batch_size)
        # TorchServe 0.12.0 caps batches at 2 when max_batch_delay is 0 or negative.
        _check_at_least(1, "batch-delay", *self.batch_delay_ms)
        _check_at_least(1, "runs", self.runs)
        _check_at_least(1, "client-batch", *self.client_batch)
        _check_at_least(1, "processes", self.processes)
        for concurrency in self.concurrency:
            _check_at_least(1, "concurrency", concurrency)
        for option in ("requests", "tokens"):
            if (value := getattr(self, option)) is not None:
                _check_at_least(1, option, value)
        self._check_limits()
        check_servers(self.server)
        check_pairs(self.engine, self.precision)
        self._check_rates()
        if max(self.client_batch) > 1 and self.input is not None:
            raise UsageError("--client-batch joins our own texts, --input takes yours: give one of them")
        if self.tokens is not None and self.input is not None:
            raise UsageError("--tokens makes our own texts, --input takes yours: give one of them")
        if self.input_as not in INPUT_STYLES:
            raise UsageError(f"--input-as must be one of {', '.join(INPUT_STYLES)}, not {self.input_as!r}")
        if self.input_as != INPUT_STYLES[0] and self.input is None:
            raise UsageError("--input-as tells how your own files are sent: give --input too")
        if (self.requests is None) == (self.duration_s is None):
            raise UsageError("give either --requests or --duration, not both and not neither")
        if self.search and self.until_sure:
            raise UsageError("--search is sure by itself: drop --until-sure")
        if self.duration_s is not None and not 0 < self.duration_s < float("inf"):
            raise UsageError(f"--duration must be above 0 seconds, not {self.duration_s:g}")
        if self.budget_s is not None and not 0 < self.budget_s < float("inf"):
            raise UsageError(f"--budget must be above 0 seconds, not {self.budget_s:g}")
        if not 0 <= self.warm_up_s < float("inf"):
            raise UsageError(f"--warm-up must be 0 or more seconds, not {self.warm_up_s:g}")
        self._check_size()

    def _check_size(self) -> None:
        calculated = pairs(self.engine, self.precision)
        axes = (self.workers, self.batch_size, calculated, self.batch_delay_ms, self.client_batch)
        loads = len(self.rate_rps or (None,)) * len(self.concurrency or (None,))
        arms = sum(len(self._arms(server)) for server in dict.fromkeys(self.server))
        cells = prod(map(len, axes)) * loads * arms + self.noise_floor
        if cells * self.runs > MOST_TRIALS:
            raise UsageError(
                f"the plan has {cells * self.runs:,} trials, more than {MOST_TRIALS:,}: "
                f"ask for fewer --runs or values"
            )

    def _check_limits(self) -> None:
        if self.limits and not self.with_mps:
            option = self.limits[0].removesuffix("_mib").replace("_", "-")
            raise UsageError(f"--{option} is a setting of MPS: give --with-mps too")
        for percentage in self.thread_percentage:
            if not 1 <= percentage <= 100:
                raise UsageError(f"--thread-percentage must be from 1 to 100, not {percentage}")
        for mebibytes in self.memory_limit_mib:
            _check_at_least(1, "memory-limit", mebibytes)
        for chunks in self.sm_chunks:
            _check_at_least(1, "sm-chunks", chunks)

    def _check_rates(self) -> None:
        for rate_rps in self.rate_rps:
            if not 0 < rate_rps < float("inf"):
                raise UsageError(f"--rate must be above 0 requests/s, not {rate_rps:g}")
        if self.arrivals not in ARRIVALS:
            raise UsageError(f"--arrivals must be {' or '.join(ARRIVALS)}, not {self.arrivals!r}")
        if self.slo is not None:
            parse_slo(self.slo)
            if self.rate_rps:
                raise UsageError("--slo finds the rate itself: drop --rate")
            if self.adaptive:
                option = "--search" if self.search else "--until-sure"
                raise UsageError(f"--slo measures each configuration until it is sure: drop {option}")
        if self.requests is not None and (self.rate_rps or self.slo or self.processes > 1):
            raise UsageError("rates and several client processes are measured for a time: give --duration")

    @property
    def adaptive(self) -> bool:
        """Whether what is measured next depends on what was measured."""
        return self.until_sure or self.search

    @property
    def limits(self) -> tuple[str, ...]:
        """Those of LIMITS that some of its cells have."""
        return tuple(name for name in LIMITS if getattr(self, name))

    def cells(self) -> list[Cell]:
        """Every configuration once, in the order in which tables show them; the twin comes last."""
        name = self.model.removesuffix(".mar").rsplit("/", 1)[-1]
        cells = [
            Cell(
                name,
                mps,
                precision,
                share,
                workers,
                batch,
                delay_ms,
                concurrency,
                rate_rps,
                inputs,
                memory_limit_mib=memory_mib,
                sm_chunks=chunks,
                engine=engine,
                server=server,
            )
            for workers in dict.fromkeys(self.workers)
            for batch in dict.fromkeys(self.batch_size)
            for server in dict.fromkeys(self.server)
            for engine, precision in pairs(self.engine, self.precision)
            for delay_ms in dict.fromkeys(self.batch_delay_ms)
            for inputs in dict.fromkeys(self.client_batch)
            for rate_rps in dict.fromkeys(self.rate_rps or (None,))
            for concurrency in dict.fromkeys(self.concurrency or (None,))
            for mps, share, chunks, memory_mib in self._arms(server)
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
        is_open = self.slo is not None or cell.rate_rps is not None
        connections = MOST_IN_FLIGHT if is_open else full_queue(cell)
        return Load(
            connections=cell.concurrency or max(connections, self.processes),
            duration_s=self.duration_s,
            requests=self.requests,
            warm_up_s=self.warm_up_s,
            arrivals=self.arrivals,
            processes=self.processes,
            slo=self.slo,
        )

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

    def _arms(self, server: str) -> list[tuple[bool, int | None, int | None, int | None]]:
        """(MPS or not, thread percentage, chunks, MiB) of a server's cells of one number of workers and batch
        size. In a static partition percentages are ignored: a cell has one or the other.
        """
        without = (False, None, None, None)
        if not self.with_mps or server != TORCHSERVE:
            return [without]
        shares: list[tuple[int | None, int | None]] = [(share, None) for share in self.thread_percentage]
        shares += [(None, chunks) for chunks in self.sm_chunks]
        limits = [
            (*share, mib) for share in shares or [(None, None)] for mib in self.memory_limit_mib or (None,)
        ]
        return [without, *((True, *each) for each in limits)]

    def _shuffled(self, order: random.Random) -> list[Cell]:
        """The cells in random order, but next to each other those that share a server, and among these those
        that share a loaded model."""
        cells = self.cells()
        order.shuffle(cells)
        servers = {cell.started_with: index for index, cell in enumerate(cells)}
        loaded = {(cell.started_with, cell.registration): index for index, cell in enumerate(cells)}
        return sorted(
            cells, key=lambda cell: (servers[cell.started_with], loaded[cell.started_with, cell.registration])
        )


def _check_at_least(least: int, option: str, *values: int) -> None:
    if not values:
        raise UsageError(f"--{option} needs at least one value")
    for value in values:
        if value < least:
            raise UsageError(f"--{option} must be {least} or more, not {value}")
