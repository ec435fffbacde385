"""Archives behind TorchServe, as something to measure: requests/s, or an error where a request failed.

Here: servers, a load on one of them, which setup suits an archive best. Not here: who is compared with whom.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts.interleaved import BenchmarkError, Effort, Tell
from experiments.base.cores import usable_cores
from experiments.load import Body, ClosedLoop, LoadResult, run
from experiments.serving.noop import noop_archive
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from experiments.serving.workers import torch_threads

# The claims of `make bench` are about CPUs. Without this, TorchServe would use a GPU where there is one.
NO_GPU = {"number_of_gpu": "0"}

WORKERS = sorted({1, usable_cores()})  # the numbers to try: one for all cores, or one for each

# Answers come batch by batch. A window of fewer batches from each worker says little about throughput.
FEWEST_BATCHES = 3
LONGEST_S = 60.0
# Java spends more on compiling what runs often than on the requests of a slow model, and takes tens of
# thousands of requests until it is done. A server that runs for days is past that; so is ours, after as many
# requests to a model that does nothing.
SETTLING_S = 10.0
NOOP_BATCH = 8
UNCOUNTED = 3  # times as long as a run is the load before the first one
SLOW_RPS = 100


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
def host(env: Mapping[str, str] | None = None) -> Iterator[Host]:
    """A Host whose servers are stopped at the end; `env` is for their workers."""
    with ExitStack() as servers, tempfile.TemporaryDirectory() as folder:
        yield Host(servers, noop_archive(Path(folder)), env or {})


class Host:
    """Serves one archive at a time, on servers that it keeps: one for each number of workers, as the workers'
    threads are in a server's environment. Made by `host`, which also stops them.
    """

    def __init__(self, servers: ExitStack, noop: Path, env: Mapping[str, str]) -> None:
        self._servers: dict[int, TorchServe] = {}
        self._serving: TorchServe | None = None
        self._stack, self._noop, self._env = servers, noop, env

    def serve(self, setup: Setup) -> TorchServe:
        """The server that serves `setup`, and nothing else, from now on."""
        self.rest()
        server = self._servers.get(setup.workers) or self._start(setup.workers)
        server.register(Registration(setup.archive, setup.workers, setup.batch_size))
        self._serving = server
        return server

    def rest(self) -> None:
        """Serve nothing."""
        if self._serving:
            self._serving.unregister()
        self._serving = None

    def best(self, setups: Sequence[Setup], pool: Sequence[Body], effort: Effort, tell: Tell) -> Setup:
        """The setup that answers most requests a second, each tried once."""
        found: dict[Setup, float] = {}
        for setup in setups:
            trial = load(self.serve(setup), setup, pool, effort.trial_s, effort.warm_up_s)
            found[setup] = trial.throughput_rps
            tell(f"  tried {setup}: {trial.throughput_rps:,.1f} requests/s")
        self.rest()
        return max(found, key=found.__getitem__)

    def _start(self, workers: int) -> TorchServe:
        env = {"OMP_NUM_THREADS": str(torch_threads(workers)), **self._env}
        server = self._stack.enter_context(torchserve(env=env, settings=NO_GPU))
        noop = Setup(self._noop, workers, NOOP_BATCH)
        server.register(Registration(noop.archive, noop.workers, noop.batch_size))
        load(server, noop, [Body(b"hello", "text/plain")], 1.0, SETTLING_S)
        server.unregister()
        self._servers[workers] = server
        return server


def throughput_rps(server: TorchServe, setup: Setup, pool: Sequence[Body], effort: Effort) -> float:
    """Requests/s of one run."""
    return load(server, setup, pool, effort.duration_s, effort.warm_up_s).throughput_rps


def settle(server: TorchServe, setup: Setup, pool: Sequence[Body], effort: Effort) -> None:
    """A load that doesn't count: Java compiles in it what this load needs, which no later run sees. At tens
    of requests/s it has next to nothing to do."""
    if load(server, setup, pool, effort.trial_s, effort.warm_up_s).throughput_rps > SLOW_RPS:
        load(server, setup, pool, UNCOUNTED * effort.duration_s, effort.warm_up_s)


def load(
    server: TorchServe, setup: Setup, pool: Sequence[Body], duration_s: float, warm_up_s: float
) -> LoadResult:
    """One closed loop on the registered model, longer than asked where too few batches came of that, or all
    of them in a small part of it.

    Raises BenchmarkError when a request failed, or when the model is too slow to be measured.
    """
    fewest = FEWEST_BATCHES * setup.workers * setup.batch_size
    while True:
        traffic = ClosedLoop(setup.connections, duration_s=duration_s, warm_up_s=warm_up_s)
        found = run(server.predict_url, pool, traffic, headers=server.headers)
        enough = found.requests >= fewest and not found.is_sparse
        if enough or duration_s >= LONGEST_S or not _all_good(found):
            break
        rate_rps = found.throughput_rps
        duration_s = max(2 * duration_s, 1.2 * fewest / rate_rps if rate_rps else 0.0)
    problems = found.problems()
    if found.requests < fewest:
        problems.append(f"only {found.requests} answers, {fewest} are the fewest that tell a throughput")
    if problems:
        raise BenchmarkError(f"{setup}: no result: {'; '.join(problems)}", details=server.log_since(0))
    return found


def _all_good(found: LoadResult) -> bool:
    return not found.lost_connections and all(200 <= status < 300 for status in found.statuses)


def grid(archive: Path, workers: Sequence[int], batch_sizes: Sequence[int]) -> list[Setup]:
    """Every combination as a setup of `archive`."""
    return [Setup(archive, count, size) for count in workers for size in batch_sizes]
