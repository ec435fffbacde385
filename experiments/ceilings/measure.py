"""Measures the ceilings of a plan: the model's work, the bare model, the device's peaks, the empty handler.

The same processes, threads, inputs, arms and server settings as in the sweep. What is kept, and how it is
shown, lives in record.py.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol, TypeVar

from experiments.base.cores import allowed_cores
from experiments.base.errors import ExperimentError, ServerError
from experiments.base.owned import owned_folder
from experiments.bench import Bench
from experiments.ceilings.bare import BareModel, bare_model
from experiments.ceilings.datasheet import peaks_of
from experiments.ceilings.effort import Effort
from experiments.load import ClosedLoop, LoadError, run
from experiments.load.goodput.others import MOST_TAKES
from experiments.plan import Cell, Plan, full_queue
from experiments.plan.engines import OF_TORCH
from experiments.plan.servers import TORCHSERVE
from experiments.results.ceilings import KEYS, Ceiling, Ceilings, write_ceilings
from experiments.results.roofline import Work
from experiments.results.telemetry import FRONTEND, LOAD_GENERATOR, WORKERS
from experiments.serving.arms import arm
from experiments.serving.noop import noop_archive
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from experiments.serving.workers import limits_env, torch_threads, worker_env
from experiments.watch.flags import others_too_busy
from experiments.watch.telemetry import sampling

COMPILE_VARIABLE = "HANDLER_COMPILE"  # heeded by handlers/
PRECISIONS_WITH_PEAKS = ("fp32", "tf32", "fp16", "bf16")

T = TypeVar("T")


class Progress(Protocol):
    """Who is told what is measured."""

    def ceiling(self, what: str) -> None: ...
    def warn(self, message: str) -> None: ...


def measure_ceilings(
    plan: Plan, bench: Bench, folder: Path, progress: Progress, effort: Effort | None = None
) -> Ceilings:
    """The ceilings of every cell of `plan`, written to `folder`/ceilings.json too.

    What can't be measured is named in `problems` and missing from the figures; the rest goes on. Raises
    ExperimentError when the file can't be written.
    """
    measuring = _Measuring(plan, bench, progress, effort or Effort())
    work = measuring.work()
    rows = [row for cell in measuring.settings() for row in measuring.bare(cell, work)]
    rows = measuring.with_empty_handler(rows)
    name = bench.card.name if bench.card else ""
    datasheet = peaks_of(name, work.precision) if work else None
    ceilings = Ceilings(work, datasheet, tuple(rows), tuple(measuring.problems))
    try:
        write_ceilings(folder, ceilings)
    except OSError as error:
        raise ExperimentError(f"can't write {folder}/ceilings.json: {error.strerror}") from error
    return ceilings


class _Measuring:
    """What the parts of one measure_ceilings have in common."""

    def __init__(self, plan: Plan, bench: Bench, progress: Progress, effort: Effort) -> None:
        self.plan, self.bench, self.progress, self.effort = plan, bench, progress, effort
        self.sizes = effort.sizes_of(plan)
        self.problems: list[str] = []

    def settings(self) -> list[Cell]:
        """A cell of the plan for each setting that all batch sizes share: arm, share, number of workers."""
        found: dict[tuple[Any, ...], Cell] = {}
        for cell in self.plan.cells():
            found.setdefault(replace(cell, server=TORCHSERVE).started_with, cell)  # it runs bare
        return list(found.values())

    def work(self) -> Work | None:
        """What a request consists of, counted on all cores and without compiling, which hides the layers."""
        self.progress.ceiling("counting the model's operations")
        first = self.settings()[0].without_mps
        precision = first.precision if first.precision in (None, *OF_TORCH) else "fp32"
        plain = replace(first, workers=1, engine="torch", precision=precision)  # whose layers can be seen
        try:
            with self._bare_model(plain, {COMPILE_VARIABLE: "none"}) as model:
                return model.work()
        except ExperimentError as error:
            self._note(error)
            return None

    def bare(self, cell: Cell, work: Work | None) -> list[Ceiling]:
        """The bare model with the processes and threads of `cell`, at every batch size, and the peaks."""
        where = asdict(cell)
        rows = [
            Ceiling(
                **{key: where[key] for key in KEYS if key != "batch_size"},
                batch_size=size,
                threads=torch_threads(cell.workers),
            )
            for size in sorted({*self.effort.batch_sizes, *self.sizes})
        ]
        if work is None:  # the model can't be run alone
            return self._of_the_plan(rows)
        measured: list[Ceiling] = []
        flops = bytes_per_s = None
        try:
            with self._bare_model(cell) as model:
                for row in self._bare_rows(model, rows):
                    measured.append(row)
                flops, bytes_per_s = self._peaks(model, work)
            if cell.precision == "int8":  # the peak of torch's products says nothing of these
                flops = None
        except ExperimentError as error:  # a batch that does not fit into memory, for one
            self._note(error)
        measured = [replace(row, flops=flops, bytes_per_s=bytes_per_s) for row in measured]
        got_that_far = {row.batch_size for row in measured}
        return measured + [row for row in self._of_the_plan(rows) if row.batch_size not in got_that_far]

    def _bare_rows(self, model: BareModel, rows: Sequence[Ceiling]) -> Iterator[Ceiling]:
        effort = self.effort
        request_s = 0.0
        for row in rows:
            planned = row.batch_size in self.sizes
            if not planned and row.batch_size * request_s > effort.longest_batch_s:
                continue
            self.progress.ceiling(
                f"bare model, {row.workers} x {row.threads} threads, batch {row.batch_size}"
            )
            windows = effort.windows if planned else 1
            take = partial(model.throughput, row.batch_size, effort.bare_s, windows)
            what = f"bare model, {row.workers} workers, batch {row.batch_size}"
            found, undisturbed = self._undisturbed(what, {WORKERS: model.pids}, take)
            request_s = found.batch_ms / 1e3 / row.batch_size
            if not undisturbed:
                yield row
                continue
            handled_ms = self._handled_ms(model, row.batch_size) if planned else None
            yield replace(
                row,
                bare_rps=found.throughput_rps,
                bare_batch_ms=found.batch_ms,
                handled_batch_ms=handled_ms,
            )

    def _handled_ms(self, model: BareModel, batch_size: int) -> float | None:
        """All of the handler's work on a batch; None where it is not asked for, or was disturbed."""
        effort = self.effort
        if not effort.handled_s:
            return None
        what = f"handler, {len(model.pids)} workers, batch {batch_size}"
        self.progress.ceiling(what)
        take = partial(model.handled, batch_size, effort.handled_s, effort.windows)
        found, undisturbed = self._undisturbed(what, {WORKERS: model.pids}, take)
        return found.batch_ms if undisturbed else None

    def _peaks(self, model: BareModel, work: Work) -> tuple[float | None, float | None]:
        """Operations a second in the model's precision, and bytes a second; None where that is left out."""
        if not self.effort.peak_s:
            return None, None
        self.progress.ceiling("the device's peaks")
        peak_s, windows, ours = self.effort.peak_s, self.effort.windows, {WORKERS: model.pids}
        take = partial(model.bytes_per_s, peak_s, windows)
        bytes_per_s, undisturbed = self._undisturbed("peak of copying", ours, take)
        flops: float | None = None
        if work.precision in PRECISIONS_WITH_PEAKS:
            take = partial(model.flops, work.precision, peak_s, windows)
            flops, quiet = self._undisturbed("peak of products", ours, take)
            undisturbed = undisturbed and quiet
        return (flops, bytes_per_s) if undisturbed else (None, None)

    def _undisturbed(
        self, what: str, ours: Mapping[str, Sequence[int]], take: Callable[[], T]
    ) -> tuple[T, bool]:
        """What `take` measures, again where other programs used the CPU meanwhile, and whether one was quiet
        at last. `ours` are the processes that are no others, beside this one."""
        for _ in range(MOST_TAKES):
            with sampling({**ours, LOAD_GENERATOR: [os.getpid()]}) as recorder:
                found = take()
            busy = others_too_busy(recorder.summary(0), allowed_cores())
            if busy is None:
                return found, True
        self._note(ExperimentError(f"{what}: not known, {busy} in each of {MOST_TAKES} takes"))
        return found, False

    @contextmanager
    def _bare_model(self, cell: Cell, env: Mapping[str, str] | None = None) -> Iterator[BareModel]:
        bench = self.bench
        with (
            arm(cell.mps, bench.card, bench.mps, self.progress.warn, sm_chunks=cell.sm_chunks) as current,
            bare_model(
                bench.archive,
                processes=cell.workers,
                threads=torch_threads(cell.workers),
                precision=cell.precision,
                engine=cell.engine,
                seed=self.plan.seed,
                pool=bench.bare_pool,
                gpu_id=0 if bench.card else None,  # the arm shows this card alone
                env={**current.env, **limits_env(cell), **(env or {})},
            ) as model,
        ):
            yield model

    def with_empty_handler(self, rows: Sequence[Ceiling]) -> list[Ceiling]:
        """`rows` with what TorchServe's frontend carries. Arms and precisions are nothing to a model without
        any."""
        carried: dict[tuple[int, int], tuple[float, int]] = {}
        for workers in dict.fromkeys(self.plan.workers) if TORCHSERVE in self.plan.server else ():
            try:
                carried |= self._empty_handler(workers)
            except ExperimentError as error:
                self._note(error)
        found = [carried.get((row.workers, row.batch_size), (None, None)) for row in rows]
        return [
            replace(row, empty_rps=empty_rps, empty_in_flight=in_flight)
            for row, (empty_rps, in_flight) in zip(rows, found, strict=True)
        ]

    def _empty_handler(self, workers: int) -> dict[tuple[int, int], tuple[float, int]]:
        """Requests/s and how many were in flight, by (workers, batch size)."""
        env = worker_env(torch_threads(workers), precision=None)
        settings = self.bench.gpus_dealt
        carried = {}
        with (
            owned_folder("empty-handler-") as folder,
            arm(False, self.bench.card, self.bench.mps, self.progress.warn) as current,
            torchserve(env={**env, **current.env}, settings=settings) as server,
        ):
            archive = noop_archive(folder)
            ours = [cell for cell in self.plan.cells() if cell.server == TORCHSERVE]
            of_workers = [cell for cell in ours if cell.workers == workers and cell.batch_size in self.sizes]
            for batch_size, cell in {cell.batch_size: cell for cell in of_workers}.items():
                self.progress.ceiling(f"empty handler, {workers} workers, batch {batch_size}")
                pids = [each.pid for each in server.register(Registration(archive, *cell.registration))]
                what = f"empty handler, {workers} workers, batch {batch_size}"
                take = partial(self._loads, server, cell)
                processes = {FRONTEND: [server.process.pid], WORKERS: pids}
                figures, undisturbed = self._undisturbed(what, processes, take)
                if undisturbed and None not in figures:
                    served_rps = median(figure for figure in figures if figure)
                    carried[workers, batch_size] = served_rps, self._in_flight(cell)
                server.unregister()
        return carried

    def _loads(self, server: TorchServe, cell: Cell) -> list[float | None]:
        return [self._load(server, cell) for _ in range(self.effort.windows)]

    def _load(self, server: TorchServe, cell: Cell) -> float | None:
        """Requests/s with so many requests in flight; None when one of them failed."""
        load = ClosedLoop(
            self._in_flight(cell),
            duration_s=self.effort.empty_s,
            warm_up_s=self.effort.warm_up_s,
        )
        pool, seed = self.bench.pool, self.plan.seed
        try:
            found = run(server.predict_url, pool, load, headers=server.headers, seed=seed)
        except LoadError as error:
            raise ServerError(str(error), details=server.log_since(0)) from error
        for problem in found.problems():
            self._note(ExperimentError(f"empty handler: {problem}"))
        return None if found.problems() else found.throughput_rps

    def _in_flight(self, cell: Cell) -> int:
        """As many as the sweep has, or a full queue where that is asked for."""
        full = full_queue(cell)
        return full if self.effort.full_queue else cell.concurrency or full

    def _of_the_plan(self, rows: Sequence[Ceiling]) -> list[Ceiling]:
        return [row for row in rows if row.batch_size in self.sizes]

    def _note(self, error: ExperimentError) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))
            self.progress.warn(str(error))
