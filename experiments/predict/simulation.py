"""TorchServe's queue as it gathers batches, simulated: one worker gathers at a time, each works on one batch.

Of TorchServe 0.12.0 (`Model.pollBatch`): a worker that is free waits for the model's lock, takes the first
request, then further ones until its batch is full or `max_batch_delay` has passed since the first was taken.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from math import inf
from random import Random

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]

WINDOWS = 7  # of which the median percentile counts, as the median of several runs does
FEW_REQUESTS = 1500  # in a window tell its percentiles well enough
FEW_ROUNDS = 10  # of batches on all workers, in a window
SEED = 0


@dataclass(frozen=True, slots=True)
class Stalls:
    """What is busy stands still `rate_per_s` times a second, at random, for `mean_ms` (exponential)."""

    rate_per_s: float = 0.0
    mean_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Station:
    """A served model: `batch_ms[n - 1]` is how long a worker is busy with a batch of n requests, until it
    takes the next one where requests wait."""

    workers: int
    delay_ms: float
    batch_ms: tuple[float, ...]
    stalls: Stalls = Stalls()

    @property
    def batch_size(self) -> int:
        return len(self.batch_ms)

    @property
    def most_rps(self) -> float:
        """What the workers carry at most, in requests/s."""
        return self.workers * max(1e3 * n / ms for n, ms in enumerate(self.batch_ms, start=1))


@dataclass(frozen=True, slots=True)
class Offered:
    """The load: `clients` requests in flight in a closed loop; with `rate_rps` an open one, with so many in
    flight at most. `window_s` is how long a run is looked at; None: until it had `requests`."""

    clients: int
    rate_rps: float | None = None
    poisson: bool = True
    window_s: float | None = None
    requests: int | None = None
    percentile: float = 99.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """Requests/s, percentiles of the latency (in an open loop from when a request was due), mean batch.
    `asked_ms` is the percentile that the load asked for."""

    throughput_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    asked_ms: float
    filled_batch: float


@lru_cache(maxsize=4096)
def simulate(station: Station, offered: Offered) -> Simulated:
    """Runs the station under the load; the same arguments always give the same result."""
    expected_rps = _expected_rps(station, offered)
    window_s = offered.window_s or (offered.requests or FEW_REQUESTS) / expected_rps
    round_of_all = station.workers * station.batch_size
    window_s = min(window_s, max(FEW_REQUESTS, FEW_ROUNDS * round_of_all) / expected_rps)
    settling_s = 2 * max(station.batch_ms) / 1e3 + station.delay_ms / 1e3
    end_s = settling_s + WINDOWS * window_s
    queue = _Queue(station, offered, Random(SEED))
    sizes, ends_s, latencies_s = queue.batches_until(end_s)
    settled = ends_s > settling_s
    if len(set(ends_s[settled])) > 1:  # else a batch takes longer than all the windows
        ends_s, latencies_s = ends_s[settled], latencies_s[settled]
    asked = (50, 95, 99, offered.percentile)
    windows_s = _by_window(ends_s - ends_s.min(), latencies_s, window_s)
    per_window = np.array([np.percentile(each, asked) for each in windows_s])
    p50_ms, p95_ms, p99_ms, asked_ms = (float(value) * 1e3 for value in np.median(per_window, axis=0))
    filled_batch = float(np.mean(sizes))
    return Simulated(_rate_rps(ends_s, station), p50_ms, p95_ms, p99_ms, asked_ms, filled_batch)


def _expected_rps(station: Station, offered: Offered) -> float:
    """Roughly, to choose how long to look."""
    size = min(offered.clients, station.batch_size)
    delay_ms = station.delay_ms if size < station.batch_size else 0.0
    by_clients_rps = 1e3 * offered.clients / (delay_ms + station.batch_ms[size - 1])
    return min(station.most_rps, by_clients_rps, offered.rate_rps or inf)


def _rate_rps(ends_s: Times, station: Station) -> float:
    """Requests/s from the first end to the last, which is a later one: whole batches, however few."""
    first_s, last_s = ends_s.min(), ends_s.max()
    return min(int((ends_s > first_s).sum()) / float(last_s - first_s), station.most_rps)


def _by_window(after_s: Times, latencies_s: Times, window_s: float) -> list[Times]:
    """The latencies of each window that has answers."""
    number = np.minimum(after_s // window_s, WINDOWS - 1).astype(int)
    windows = [latencies_s[number == each] for each in range(WINDOWS)]
    return [each for each in windows if len(each)]


class _Queue:
    """Time in seconds from the first request. A client's slot is when it may send its next request."""

    def __init__(self, station: Station, offered: Offered, random: Random) -> None:
        self._station, self._offered, self._random = station, offered, random
        self._slots_s = [0.0] * offered.clients
        self._working: list[tuple[float, int]] = []  # when a batch is done, and its requests
        self._idle_s = deque([0.0] * station.workers)
        self._due_s = 0.0
        self._to_stall_s = self._until_next_stall()

    def batches_until(self, end_s: float) -> tuple[list[int], Times, Times]:
        """The sizes of all batches that begin until then; for each request its end and its latency."""
        sizes: list[int] = []
        ends_s: list[float] = []
        latencies_s: list[float] = []
        gathered_s = 0.0  # when the lock is free again
        while gathered_s < end_s or not sizes:
            while not self._idle_s:
                self._finish_one()
            due_s, gathered_s = self._gather(max(self._idle_s.popleft(), gathered_s))
            done_s = gathered_s + self._busy_s(len(due_s))
            heappush(self._working, (done_s, len(due_s)))
            sizes.append(len(due_s))
            ends_s += [done_s] * len(due_s)
            latencies_s += [done_s - each for each in due_s]
        return sizes, np.array(ends_s), np.array(latencies_s)

    def _gather(self, from_s: float) -> tuple[list[float], float]:
        """A batch by a worker that may begin then: when its requests were due, and when it is complete."""
        first = self._take(inf)
        assert first is not None  # every request is with a client, waiting, or worked on
        due_s, now_s = [first[0]], max(from_s, first[1])
        deadline_s = now_s + self._station.delay_ms / 1e3
        while len(due_s) < self._station.batch_size:
            following = self._take(deadline_s)
            if following is None:
                return due_s, deadline_s
            due_s.append(following[0])
            now_s = max(now_s, following[1])
        return due_s, now_s

    def _take(self, until_s: float) -> tuple[float, float] | None:
        """The next request that comes until then: when it was due and when it was sent."""
        while True:
            sent_s = max(self._slots_s[0], self._due_s) if self._slots_s else inf
            done_s = self._working[0][0] if self._working else inf
            if min(sent_s, done_s) > until_s:
                return None
            if sent_s <= done_s and sent_s < inf:
                heappop(self._slots_s)
                return self._sent(sent_s)
            if not self._working:
                return None
            self._finish_one()

    def _sent(self, at_s: float) -> tuple[float, float]:
        offered = self._offered
        if offered.rate_rps is None:
            return at_s, at_s
        due_s = self._due_s
        mean_s = 1 / offered.rate_rps
        self._due_s += self._random.expovariate(1 / mean_s) if offered.poisson else mean_s
        return due_s, at_s

    def _finish_one(self) -> None:
        """The batch that is done first: its clients may send again, its worker may gather again."""
        done_s, size = heappop(self._working)
        for _ in range(size):
            heappush(self._slots_s, done_s)
        self._idle_s.append(done_s)

    def _busy_s(self, size: int) -> float:
        """How long a batch takes, with what holds the worker up meanwhile."""
        station = self._station
        busy_s = station.batch_ms[size - 1] / 1e3
        left_s, stalled_s = busy_s, 0.0
        while left_s >= self._to_stall_s:
            left_s -= self._to_stall_s
            stalled_s += self._random.expovariate(1e3 / station.stalls.mean_ms)
            self._to_stall_s = self._until_next_stall()
        self._to_stall_s -= left_s
        return busy_s + stalled_s

    def _until_next_stall(self) -> float:
        rate_per_s = self._station.stalls.rate_per_s
        return self._random.expovariate(rate_per_s) if rate_per_s and self._station.stalls.mean_ms else inf
