"""Carries out a plan: servers, registrations, trials, each on disk before the next one starts.

A server is started only when a cell needs another environment, a model registered only when the cell
changes. What a trial measures, and what the files look like, lives elsewhere.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, Protocol

from experiments.environment import usable_cores
from experiments.errors import ExperimentError
from experiments.load import Body, LoadResult
from experiments.plan import Plan, Trial
from experiments.results import TrialResult, append, open_for_append, read_trials
from experiments.server import Registration, ServerError, TorchServe, torchserve
from experiments.trial import failed, measure

FAILED_CELLS_IN_A_ROW = 2  # then the cause is not the cell


class Progress(Protocol):
    """Who is told how the campaign goes."""

    def planned(self, todo: Sequence[Trial], done: int) -> None: ...
    def loading(self, trial: Trial) -> None: ...
    def measuring(self, trial: Trial) -> None: ...
    def finished(self, result: TrialResult) -> None: ...


def carry_out(
    plan: Plan, archive: Path, pool: Sequence[Body], folder: Path, progress: Progress
) -> list[TrialResult]:
    """Measures every trial of `plan` that `folder` doesn't hold yet; returns all results.

    A cell that cannot be loaded, or whose server dies, is recorded as invalid and the rest goes on.
    Raises ExperimentError when nothing works at all; what was measured until then stays in `folder`.
    """
    with open_for_append(folder) as file:
        results = read_trials(folder)
        done = {(result.trial.cell, result.trial.run) for result in results}
        todo = [trial for trial in plan.trials() if (trial.cell, trial.run) not in done]
        progress.planned(todo, done=len(done))
        campaign = _Campaign(archive, pool, folder, file, progress, results)
        while todo:
            todo = campaign.measure_on_one_server(todo)
    return results


def torch_threads(workers: int) -> int:
    """Threads for each of `workers` processes that share this machine's cores without oversubscription."""
    return max(1, usable_cores() // workers)


class _Campaign:
    """The trials of one carry_out: what they need in common, and the results so far."""

    def __init__(
        self,
        archive: Path,
        pool: Sequence[Body],
        folder: Path,
        file: IO[bytes],
        progress: Progress,
        results: list[TrialResult],
    ) -> None:
        self.archive, self.pool, self.folder, self.file = archive, pool, folder, file
        self.progress, self.results = progress, results
        self.failed_cells = 0

    def measure_on_one_server(self, todo: Sequence[Trial]) -> list[Trial]:
        """Measures the leading trials that can share a server; returns those that are left."""
        threads = torch_threads(todo[0].cell.workers)
        block = next(list(g) for _, g in groupby(todo, key=lambda t: torch_threads(t.cell.workers)))
        before = len(self.results)
        with torchserve(env={"OMP_NUM_THREADS": str(threads)}) as server:
            for _, group in groupby(block, key=lambda trial: trial.cell):
                trials = list(group)
                try:
                    self._measure_cell(server, trials, threads)
                    self.failed_cells = 0
                except ServerError as error:
                    self._record_failure(trials, threads, error)
                    break  # the server may be gone: the rest gets a new one
        return list(todo[len(self.results) - before :])

    def _measure_cell(self, server: TorchServe, trials: Sequence[Trial], threads: int) -> None:
        cell = trials[0].cell
        self.progress.loading(trials[0])
        workers = server.register(
            Registration(self.archive, cell.workers, cell.batch_size, cell.batch_delay_ms)
        )
        for trial in trials:
            self.progress.measuring(trial)
            result, load = measure(trial, server, workers, self.pool, threads)
            self._keep(result, load)
            self._stop_if_hopeless(result, server)
            if not result.valid:  # a worker that died was replaced
                workers = server.wait_for_workers(cell.workers)
        server.unregister()

    def _keep(self, result: TrialResult, load: LoadResult | None) -> None:
        append(self.folder, self.file, result, load)
        self.results.append(result)
        self.progress.finished(result)

    def _record_failure(self, trials: Sequence[Trial], threads: int, error: ServerError) -> None:
        """Notes the cell's outstanding trials as invalid; raises `error` when nothing has worked yet."""
        measured = {result.trial.position for result in self.results}
        if not any(result.valid for result in self.results):
            raise error
        self.failed_cells += 1
        if self.failed_cells == FAILED_CELLS_IN_A_ROW:
            raise error
        for trial in trials:
            if trial.position not in measured:
                self._keep(failed(trial, str(error), threads), None)

    def _stop_if_hopeless(self, result: TrialResult, server: TorchServe) -> None:
        served = sum(count for status, count in result.statuses.items() if status.startswith("2"))
        if served or any(earlier.valid for earlier in self.results):
            return
        raise ExperimentError(
            f"{self.archive.name} answered no request: {'; '.join(result.problems)}",
            details=server.log_since(0),
        )


def missing_results(plan: Plan, results: Sequence[TrialResult]) -> Iterator[str]:
    """A line for each cell of `plan` that has no valid run, with the reason of its last one."""
    for cell in plan.cells():
        of_cell = [result for result in results if result.trial.cell == cell]
        if of_cell and not any(result.valid for result in of_cell):
            yield f"{cell}: {'; '.join(of_cell[-1].problems)}"
