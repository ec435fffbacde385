"""Archives behind a TorchServe of our own, as something to measure: requests/s, or an error where one failed.

Here: one load on one server, and which setup suits an archive best. Not here: who is compared with whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.interleaved import BenchmarkError, Effort, Tell
from experiments.campaign import torch_threads
from experiments.load import Body, ClosedLoop, LoadResult, run
from experiments.server import Registration, TorchServe, torchserve

# The claims of `make bench` are about CPUs. Without this, TorchServe would use a GPU where there is one.
NO_GPU = {"number_of_gpu": "0"}

# Answers come batch by batch. A window of fewer batches from each worker says little about throughput.
FEWEST_BATCHES = 4
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Setup:
    """How an archive is served: `workers` processes that share the cores, batches of up to `batch_size`."""

    archive: Path
    workers: int
    batch_size: int

    @property
    def connections(self) -> int:
        """Requests in flight: a batch at work and one waiting for every worker, as in the sweep."""
        return 2 * self.workers * self.batch_size

    def __str__(self) -> str:
        threads = torch_threads(self.workers)
        return f"{self.archive.stem}, {self.workers} x {threads} threads, batch {self.batch_size}"


@contextmanager
def server_for(workers: int, env: Mapping[str, str] | None = None) -> Iterator[TorchServe]:
    """A server whose workers get the threads that each of `workers` may use."""
    threads = {"OMP_NUM_THREADS": str(torch_threads(workers))}
    with torchserve(env=threads | dict(env or {}), settings=NO_GPU) as server:
        yield server


@contextmanager
def serving(setup: Setup) -> Iterator[TorchServe]:
    """A server of our own with this archive, its workers ready."""
    with server_for(setup.workers) as server:
        server.register(Registration(setup.archive, setup.workers, setup.batch_size))
        yield server


def throughput_rps(server: TorchServe, setup: Setup, pool: Sequence[Body], effort: Effort) -> float:
    """Requests/s of one run."""
    return load(server, setup, pool, effort.duration_s, effort.warm_up_s).throughput_rps


def load(
    server: TorchServe, setup: Setup, pool: Sequence[Body], duration_s: float, warm_up_s: float
) -> LoadResult:
    """One closed loop on the registered model, longer than asked where too few batches came of that.

    Raises BenchmarkError when a request failed, or when the model is too slow to be measured.
    """
    fewest = FEWEST_BATCHES * setup.workers * setup.batch_size
    while duration_s <= LONGEST_S:
        traffic = ClosedLoop(setup.connections, duration_s=duration_s, warm_up_s=warm_up_s)
        found = run(server.predict_url, pool, traffic, headers=server.headers)
        if found.requests >= fewest or not _all_good(found):
            break
        duration_s *= 2
    problems = found.problems()
    if found.requests < fewest:
        problems.append(f"only {found.requests} answers, {fewest} are the fewest that tell a throughput")
    if problems:
        raise BenchmarkError(f"{setup}: no result: {'; '.join(problems)}", details=server.log_since(0))
    return found


def _all_good(found: LoadResult) -> bool:
    return not found.lost_connections and all(200 <= status < 300 for status in found.statuses)


def best_setup(setups: Sequence[Setup], pool: Sequence[Body], effort: Effort, tell: Tell) -> Setup:
    """The setup that answers most requests a second, each tried once."""
    found: dict[Setup, float] = {}
    for workers, group in groupby(sorted(setups, key=_workers), key=_workers):
        with server_for(workers) as server:
            for setup in group:
                server.register(Registration(setup.archive, workers, setup.batch_size))
                trial = load(server, setup, pool, effort.trial_s, effort.warm_up_s)
                found[setup] = trial.throughput_rps
                tell(f"  tried {setup}: {trial.throughput_rps:,.1f} requests/s")
                server.unregister()
    return max(found, key=found.__getitem__)


def grid(archive: Path, workers: Sequence[int], batch_sizes: Sequence[int]) -> list[Setup]:
    """Every combination as a setup of `archive`."""
    return [Setup(archive, count, size) for count in workers for size in batch_sizes]


def _workers(setup: Setup) -> int:
    return setup.workers
