"""Servers that serve the same model side by side, of which one works at a time: what each of them achieves.

Here: the figures of a turn. Not here: starting and pausing them (experiments/together), who is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median
from time import perf_counter, sleep

from benchmarks.parts.interleaved import BenchmarkError, Effort
from experiments.load import Body, ClosedLoop, LoadResult, run
from experiments.servers.dialects import Input, Prediction
from experiments.servers.served import Running, cpu_s, resident_bytes
from experiments.together.side_by_side import at_work

IN_FLIGHT = 16
SETTLING_S = 40.0  # of uncounted load before the rounds: Java compiles, BentoML learns how long to wait
IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a turn gave. CPU is that of all processes of the server; `idle_cpu` is a share of one core."""

    throughput_rps: float
    p50_ms: float
    p99_ms: float
    alone_ms: float
    cpu_ms: float
    idle_cpu: float
    rss_bytes: float


def middle(turns: Sequence[Figures]) -> Figures:
    """The median of each figure by itself."""
    return Figures(*(median(getattr(each, one.name) for each in turns) for one in fields(Figures)))


def settle(server: Running, texts: Sequence[Input], seconds: float) -> dict[int, list[Prediction]]:
    """A load that does not count; the different answers to each text, by its number."""
    with at_work(server):
        found = _load(server, texts, IN_FLIGHT, seconds, 0.0, keep_answers=True)
    assert found.answers is not None
    return {
        number: [server.dialect.read(answer) for answer in answers]
        for number, answers in found.answers.of.items()
    }


def turn(server: Running, texts: Sequence[Input], effort: Effort) -> Figures:
    """One turn: idle, then a request alone at a time, then IN_FLIGHT at once. Raises BenchmarkError."""
    with at_work(server):
        family = server.family()
        idle_begin_s, begin_s = cpu_s(family), perf_counter()
        sleep(IDLE_S)
        idle_cpu = (cpu_s(family) - idle_begin_s) / (perf_counter() - begin_s)
        alone = _load(server, texts, 1, effort.duration_s / 2, 0.0)
        busy_begin_s = cpu_s(family)
        loaded = _load(server, texts, IN_FLIGHT, effort.duration_s, effort.warm_up_s)
        busy_s = cpu_s(family) - busy_begin_s
        return Figures(
            # Little's law, as no client waits between its requests. Answers come eight at a time: with twenty
            # batches in a turn, a count of them depends on where it ends.
            IN_FLIGHT / float(loaded.latency_s.mean()),
            loaded.latency_ms(50),
            loaded.latency_ms(99),
            alone.latency_ms(50),
            1e3 * busy_s / sum(loaded.statuses.values()),
            idle_cpu,
            resident_bytes(server.family()),
        )


def bodies(server: Running, texts: Sequence[Input]) -> list[Body]:
    """The texts as this server wants them."""
    return [server.dialect.body(text) for text in texts]


def _load(
    server: Running,
    texts: Sequence[Input],
    connections: int,
    duration_s: float,
    warm_up_s: float,
    *,
    keep_answers: bool = False,
) -> LoadResult:
    traffic = ClosedLoop(connections, duration_s=duration_s, warm_up_s=warm_up_s)
    found = run(
        server.predict_url(),
        bodies(server, texts),
        traffic,
        headers=server.headers,
        keep_answers=keep_answers,
    )
    if problems := found.problems():
        raise BenchmarkError(f"{server.server}: no result: {'; '.join(problems)}", details=server.log())
    return found
