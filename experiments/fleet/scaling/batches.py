"""How long an instance's batches take, and the rate at which it keeps its bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from experiments.base.errors import UsageError
from experiments.placement.placed import Resident
from experiments.placement.simulation import poisson
from experiments.placement.simulation.arrivals import Times
from experiments.placement.simulation.queues import Queue, play_alone

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """`latency_ms` of a batch of 1, 2, ... requests with all `workers` of an instance at work, as a profile
    has it; the longest is the batch size. `delay_ms` is TorchServe's max_batch_delay. `busy_cpu` is the CPU
    that an instance uses while all its workers are at work, as a share of what it requests: 1 where the model
    runs on the CPU, less where a GPU does the work.

    Raises UsageError where a latency isn't positive.
    """

    latency_ms: tuple[float, ...]
    workers: int = 1
    delay_ms: float = 0.0
    busy_cpu: float = 1.0

    def __post_init__(self) -> None:
        if not self.latency_ms or not all(0 < latency < float("inf") for latency in self.latency_ms):
            raise UsageError(f"latencies of {self.latency_ms} ms: give one above 0 for each batch size")
        if self.workers < 1 or not self.delay_ms >= 0:
            raise UsageError(f"{self.workers} workers, delay {self.delay_ms:g} ms: give 1 or more, 0 or more")

    @property
    def size(self) -> int:
        """The most requests in a batch."""
        return len(self.latency_ms)

    @cached_property
    def seconds(self) -> list[float]:
        """How long a batch takes, by its size from index 1 on."""
        return [0.0, *(latency / 1000 for latency in self.latency_ms)]

    @property
    def highest_rps(self) -> float:
        """What an instance serves at most, whatever the latencies."""
        sizes = np.arange(1, self.size + 1)
        return float(1000 * self.workers * (sizes / np.array(self.latency_ms)).max())

    def resident(self) -> Resident:
        """As the simulation of placements has it."""
        return Resident(0, self.size)


def linear(
    fixed_ms: float,
    each_ms: float,
    size: int,
    *,
    workers: int = 1,
    delay_ms: float = 0.0,
    busy_cpu: float = 1.0,
) -> Batches:
    """Batches that take `fixed_ms`, and `each_ms` for each request."""
    latency_ms = tuple(fixed_ms + each_ms * count for count in range(1, size + 1))
    return Batches(latency_ms, workers, delay_ms, busy_cpu)


def capacity_rps(
    batches: Batches, bound_ms: float, percentile: float = 99.0, *, requests: int = 20_000, seed: int = 0
) -> float:
    """The highest rate, to 0.5 %, at which an instance keeps the bound for `percentile` % of Poisson
    arrivals, simulated with so many requests.

    Raises UsageError where a single request takes longer than the bound.
    """
    if batches.latency_ms[0] > bound_ms:
        raise UsageError(
            f"a single request takes {batches.latency_ms[0]:g} ms: no rate keeps a bound of {bound_ms:g} ms"
        )
    low, high = 0.0, batches.highest_rps
    while high - low > 0.005 * high:
        rate_rps = (low + high) / 2
        arrived_s = poisson(rate_rps, requests / rate_rps, seed)
        kept = float((served(batches, arrived_s) - arrived_s <= bound_ms / 1000).mean())
        low, high = (rate_rps, high) if kept >= percentile / 100 else (low, rate_rps)
    return low


def served(batches: Batches, arrived_s: Times) -> Times:
    """When one instance answers requests that come then, in seconds."""
    server = Server(batches, [0.0] * batches.workers)
    server.add(np.arange(len(arrived_s)), arrived_s)
    server.play(float("inf"))
    return server.queue.answered_s()


class Server:
    """Workers that take their batches from one queue, as TorchServe's do; `free_s`: when each of them is."""

    def __init__(self, batches: Batches, free_s: list[float]) -> None:
        self.batches, self.free_s = batches, sorted(free_s)
        self.queue = Queue(batches.resident(), np.arange(0), [])
        self.numbers: list[Numbers] = []
        self.worked_s = 0.0

    def add(self, numbers: Numbers, arrived_s: Times) -> None:
        """More requests, by their numbers, that come later than those before."""
        self.numbers.append(numbers)
        self.queue.times_s.extend(arrived_s.tolist())

    def play(self, until_s: float) -> None:
        """Serves all batches that are complete before then; who comes later may still be added."""
        seconds, delay_s = self.batches.seconds, self.batches.delay_ms / 1000
        self.worked_s = play_alone(self.queue, self.free_s, seconds, until_s, delay_s, self.worked_s)

    def worked_until_s(self, now_s: float) -> float:
        """Seconds that its workers were at work until then, where it was played until then; workers that
        don't serve yet count as at work."""
        return self.worked_s - sum(max(0.0, free - now_s) for free in self.free_s)
