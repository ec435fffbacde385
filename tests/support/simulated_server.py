"""A server of known truth without a server: batches by several workers, simulated event by event, and a clock
that runs as fast as the simulation does.

`Simulated` takes the place of experiments.load.run in a search. Here no process and no socket is at work: the
server that is one, and whose answers come when its script says, is scripted_server.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from experiments.load import ClosedLoop, LoadResult, OpenLoop, Pacing
from experiments.plan import Slo

Floats = NDArray[np.float64]

CONNECTING_S = 0.05  # what a load takes beside its schedule
TICK_S = 0.1  # how often a load looks whether too many requests wait


@dataclass(frozen=True, slots=True)
class BatchServer:
    """Each of `workers` takes what waits, `most` requests at most, and is done after
    `base_s + each_s * requests`, times a random factor of mean 1 whose logarithm has the deviation `jitter`.
    """

    workers: int = 1
    most: int = 8
    base_s: float = 0.01
    each_s: float = 0.002
    jitter: float = 0.1

    @property
    def capacity_rps(self) -> float:
        """Requests/s in full batches."""
        return self.workers * self.most / (self.base_s + self.each_s * self.most)

    def departures(self, due_s: Floats, seed: int) -> Floats:
        """When each request leaves, first come first served; `due_s` ascends."""
        due, count = due_s.tolist(), len(due_s)
        noise = self._noise(count, seed)
        free = [0.0] * self.workers
        done: list[float] = []
        first = 0
        while first < count:
            start_s = max(free[0], due[first])
            stop, last = first + 1, min(count, first + self.most)
            while stop < last and due[stop] <= start_s:
                stop += 1
            end_s = start_s + (self.base_s + self.each_s * (stop - first)) * noise[len(done)]
            done += [end_s] * (stop - first)
            heappop(free)
            heappush(free, end_s)
            first = stop
        return np.array(done)

    def closed(self, connections: int, until_s: float, seed: int) -> tuple[Floats, Floats]:
        """Sends and answers of a closed loop, in the order of the answers, up to `until_s`."""
        waiting = [0.0] * connections
        free = [0.0] * self.workers
        noise = iter(self._noise(100_000, seed))
        answers: list[tuple[float, float]] = []
        while free[0] < until_s:
            start_s = max(heappop(free), waiting[0])
            batch = [heappop(waiting)]
            while waiting and len(batch) < self.most and waiting[0] <= start_s:
                batch.append(heappop(waiting))
            end_s = start_s + (self.base_s + self.each_s * len(batch)) * next(noise)
            heappush(free, end_s)
            for sent_s in batch:
                answers.append((end_s, sent_s))
                heappush(waiting, end_s)
        answers.sort()
        ends_s, starts_s = np.array(answers).T
        return starts_s, ends_s

    def truth_rps(self, slo: Slo, requests: int = 600_000, seed: int = 0) -> float:
        """The rate at which the bound stops to hold, by bisection over simulations of so many requests."""
        low, high = 0.05 * self.capacity_rps, self.capacity_rps
        while high / low > 1.003:
            middle = math.sqrt(low * high)
            due_s = OpenLoop(middle, requests / middle).schedule(seed)
            late = self.departures(due_s, seed) - due_s > slo.bound_s
            low, high = (middle, high) if late[len(late) // 50 :].mean() <= slo.allowed else (low, middle)
        return math.sqrt(low * high)

    def _noise(self, count: int, seed: int) -> Sequence[float]:
        rng = np.random.default_rng([seed, 1])
        noise: list[float] = rng.lognormal(-(self.jitter**2) / 2, self.jitter, count).tolist()
        return noise


@dataclass(slots=True)
class Simulated:
    """Puts loads on a BatchServer; `now_s` is its clock. The seeds of two of them with other `offset`s have
    nothing in common."""

    server: BatchServer
    offset: int = 0
    now_s: float = 0.0

    def clock(self) -> float:
        return self.now_s

    def send(self, load: ClosedLoop | OpenLoop, seed: int) -> LoadResult:
        """As experiments.load.run does it, at once."""
        seed += self.offset
        return self._open(load, seed) if isinstance(load, OpenLoop) else self._closed(load, seed)

    def _open(self, load: OpenLoop, seed: int) -> LoadResult:
        due_s = load.schedule(seed)
        ends_s = load.warm_up_s + load.duration_s
        if load.max_in_flight == 1:
            done_s = replace(self.server, workers=1, most=1).departures(due_s, seed)
            starts_s = np.maximum(due_s, np.concatenate([[0.0], done_s[:-1]]))
        else:
            done_s = starts_s = self.server.departures(due_s, seed)
            if load.most_waiting is not None and (cut_s := _cut_s(due_s, done_s, load)) < ends_s:
                ends_s, due_s = cut_s, due_s[due_s < cut_s]
                done_s = self.server.departures(due_s, seed)
            starts_s = due_s
        inside = due_s >= load.warm_up_s
        begin_s = self.now_s + load.warm_up_s
        self.now_s += max(ends_s, float(done_s.max(initial=0.0))) + CONNECTING_S
        scheduled_s = due_s[inside] - load.warm_up_s
        n = len(scheduled_s)
        pacing = Pacing(n, n, n, scheduled_s, np.zeros(n), 0.1)
        window_s = ends_s - load.warm_up_s
        return _result(
            starts_s[inside] - load.warm_up_s, done_s[inside] - load.warm_up_s, begin_s, window_s, pacing
        )

    def _closed(self, load: ClosedLoop, seed: int) -> LoadResult:
        assert load.duration_s is not None
        until_s = load.warm_up_s + load.duration_s
        starts_s, ends_s = self.server.closed(load.connections, until_s, seed)
        opens_s = float(ends_s[ends_s <= load.warm_up_s].max(initial=0.0))
        inside = (opens_s < ends_s) & (ends_s <= until_s)
        begin_s = self.now_s + opens_s
        self.now_s += max(until_s, float(ends_s.max())) + CONNECTING_S
        window_s = float(ends_s[inside].max(initial=opens_s)) - opens_s
        return _result(starts_s[inside] - opens_s, ends_s[inside] - opens_s, begin_s, window_s, None)


def _cut_s(due_s: Floats, done_s: Floats, load: OpenLoop) -> float:
    """When more than `most_waiting` requests have no answer, after the warm-up."""
    assert load.most_waiting is not None
    waiting = np.arange(1, len(due_s) + 1) - np.searchsorted(np.sort(done_s), due_s, side="right")
    too_many = due_s[(waiting > load.most_waiting) & (due_s >= load.warm_up_s)]
    return float(too_many[0]) + TICK_S if len(too_many) else math.inf


def _result(
    starts_s: Floats, ends_s: Floats, begin_s: float, window_s: float, pacing: Pacing | None
) -> LoadResult:
    n = len(ends_s)
    return LoadResult(
        start_s=starts_s,
        end_s=ends_s,
        status=np.full(n, 200, dtype=np.int16),
        begin_s=begin_s,
        window_s=window_s,
        statuses={200: n},
        lost_connections=0,
        first_error=None,
        client_cpu_s=0.0,
        pacing=pacing,
    )
