"""One model under several servers side by side: checked, then loads of which every answer is compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pandas as pd

from benchmarks.parts.interleaved import BenchmarkError, Tell
from experiments.load import Body, ClosedLoop, Load, LoadResult, run
from experiments.plan import Slo
from experiments.servers.known import servers
from experiments.servers.served import Running, cpu_s
from experiments.serving.registration import MODEL, Registration
from experiments.together import Served
from experiments.together.asked import Asked, asked, checked
from experiments.together.side_by_side import at_work, side_by_side

ANY = Slo(99, 60_000.0)
Keep = Callable[[Mapping[str, pd.DataFrame]], None]  # tables by their names, as far as they are measured


@dataclass(frozen=True, slots=True)
class Setting:
    """How a model is served, and the texts that it gets; images need no `tokens`."""

    archive: Path
    workers: int
    batch_size: int
    batch_delay_ms: int
    tokens: int | None = None

    @property
    def registration(self) -> Registration:
        return Registration(self.archive, self.workers, self.batch_size, self.batch_delay_ms)

    def asked(self, threads: int) -> Asked:
        """Its inputs, and what its handler says of them alone."""
        return asked(Served(MODEL, str(self.archive), 1.0, ANY, tokens=self.tokens), threads)


@contextmanager
def all_checked(
    names: Sequence[str], setting: Setting, threads: int, settling_s: float, tell: Tell
) -> Iterator[tuple[Asked, dict[str, Running], float]]:
    """The servers with the model, settled and paused; what it is asked; the largest difference of a
    probability from what the handler says alone. Raises ParityError beyond the tolerance."""
    one = setting.asked(threads)
    with side_by_side(servers(names), [setting.registration], threads) as running:
        worst = 0.0
        for name, server in running.items():
            with at_work(server):
                off = checked(server, one, settling_s)
            tell(f"{name} answers as the model does, to {off:.1g}")
            worst = max(worst, off)
        yield one, running, worst


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one load: `cpu_cores` are the CPU seconds of all the server's processes in a second."""

    throughput_rps: float
    p50_ms: float
    p99_ms: float
    cpu_cores: float


def closed_loop(
    server: Running, one: Asked, connections: int, duration_s: float, warm_up_s: float
) -> Figures:
    """So many requests in flight, on a server that is paused between its turns. Raises BenchmarkError where
    one fails or is answered wrongly."""
    load = ClosedLoop(connections, duration_s=duration_s, warm_up_s=warm_up_s)
    with at_work(server):
        found, cores = loaded(server, one.bodies(server), load)
    if problems := found.problems():
        raise BenchmarkError(f"{server.server}: no result: {'; '.join(problems)}", details=server.log())
    if wrong := one.wrong(server, found):
        raise BenchmarkError(f"{server.server}: no result: {wrong} answers are wrong", details=server.log())
    return Figures(found.throughput_rps, found.latency_ms(50), found.latency_ms(99), cores)


def loaded(server: Running, bodies: Sequence[Body], load: Load) -> tuple[LoadResult, float]:
    """A load on a server that is at work, its answers kept; the cores that the server took."""
    family = server.family()
    begin_cpu_s, begin_s = cpu_s(family), perf_counter()
    found = run(server.predict_url(), bodies, load, headers=server.headers, keep_answers=True)
    return found, (cpu_s(family) - begin_cpu_s) / (perf_counter() - begin_s)
