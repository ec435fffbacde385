"""The closed loop: as many requests in flight as there are connections, from the first moment to the last.

Here: what is asked for, the phases, what follows from an answer.
Not here: connections and records (traffic.py).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, thread_time

import numpy as np

from experiments.load.before.target import Target
from experiments.load.steadiness import steady
from experiments.load.traffic import WHOLE, Part, Progress, Ready, Recording, Traffic, at_once, sleep_until
from experiments.load.wire import Connection

_WARM_UP_TICK_S = 0.005
_LONGER = 1.25  # how many times as long a warm-up gets that has not ended in a steady rate


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`connections` keep-alive connections, each sending its next request when the last one is answered.

    The load flows without a break through the warm-up, of which nothing is counted, into the measured window.
    That takes `duration_s` seconds, or lasts until `requests` answers came: exactly one of the two is given.
    The concurrency stays whole until then, so up to `connections - 1` more requests are answered uncounted.
    A warm-up ends when both its seconds have passed and its requests are answered, at least one of them; with
    `longest_warm_up_s` not before the rate is steady (steadiness.py), or so many seconds have passed. A load
    that several processes share doesn't wait for that: each would end on its own.
    """

    connections: int
    duration_s: float | None = None
    requests: int | None = None
    warm_up_s: float = 0.0
    warm_up_requests: int = 0
    longest_warm_up_s: float | None = None

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise ValueError(f"{self.connections} connections carry no load: give at least 1")
        if (self.duration_s is None) == (self.requests is None):
            raise ValueError("give either a duration or a number of requests, and not both")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise ValueError(f"a duration of {self.duration_s} s measures nothing: give more than 0")
        if self.requests is not None and self.requests < 1:
            raise ValueError(f"{self.requests} requests measure nothing: give at least 1")
        if not 0 <= self.warm_up_s < math.inf or self.warm_up_requests < 0:
            raise ValueError("a warm-up cannot be negative or endless: give 0 for none")

    @property
    def warms_up(self) -> bool:
        return self.warm_up_s > 0 or self.warm_up_requests > 0


async def drive_closed(
    target: Target,
    requests: Sequence[bytes],
    load: ClosedLoop,
    *,
    timeout_s: float,
    progress: Progress | None = None,
    ready: Ready = at_once,
    part: Part = WHOLE,
    keep_answers: bool = False,
) -> Recording:
    """Put the load on the target and return what happened, with no request left in flight.

    `requests` are sent in turn, again and again. Raises LoadError when the target cannot be reached.
    """
    traffic = _ClosedTraffic(target, requests, timeout_s, progress, part, keep_answers)
    try:
        await traffic.connect(part.split(load.connections))
        await sleep_until(await ready())
        await _measure(traffic, load, part)
        await traffic.drain()
    finally:
        await traffic.close()
    return traffic.recording


async def _measure(traffic: _ClosedTraffic, load: ClosedLoop, part: Part) -> None:
    """Walk through warm-up and window: sets `opens_s`, `closes_s` and `cpu_s` of the recording."""
    recording = traffic.recording
    recording.first_send_s = recording.opens_s = perf_counter()
    cpu_begin_s = thread_time()
    if load.requests is not None and not load.warms_up:
        traffic.stop_at = load.requests
    traffic.begin()
    if load.warms_up:
        await traffic.watch_until(recording.first_send_s + load.warm_up_s)
        # The window begins at an answer, so at least one has to be there.
        least = max(1, part.split(load.warm_up_requests))
        while len(recording.ends_s) < least and not traffic.stopped.is_set():
            await traffic.watch_until(perf_counter() + _WARM_UP_TICK_S)
        if load.longest_warm_up_s is not None and part.of == 1:
            await _settle(traffic, recording.first_send_s, load.longest_warm_up_s)
        recording.opens_s, cpu_begin_s = perf_counter(), thread_time()
        if load.requests is not None and not traffic.stopped.is_set():
            traffic.stop_at = len(recording.ends_s) + load.requests
    deadline_s = math.inf if load.duration_s is None else recording.opens_s + load.duration_s
    await traffic.watch_until(deadline_s)
    traffic.stop(deadline_s)
    recording.cpu_s = thread_time() - cpu_begin_s


async def _settle(traffic: _ClosedTraffic, begin_s: float, longest_s: float) -> None:
    """Return when the rate is steady, or `longest_s` have passed; tells the recording which of the two."""
    while True:
        elapsed_s = perf_counter() - begin_s
        settled = steady(np.array(traffic.recording.ends_s) - begin_s, elapsed_s)
        traffic.recording.settled = settled
        if settled or elapsed_s >= longest_s or traffic.stopped.is_set():
            return
        await traffic.watch_until(begin_s + min(longest_s, elapsed_s * _LONGER))


class _ClosedTraffic(Traffic):
    """Every connection sends again as soon as it is answered."""

    stop_at = sys.maxsize  # answers after which nothing more is sent; 0 once that is so

    def begin(self) -> None:
        """Send the first request on every connection."""
        for connection in self._connections:
            connection.send(next(self._requests), perf_counter())

    def stop(self, at_s: float) -> None:
        self.stop_at = 0
        super().stop(at_s)

    def _on_answer(self, connection: Connection, sent_s: float, answered_s: float, status: int) -> None:
        self._add_start(sent_s)
        self._add_end(answered_s)
        self._add_status(status)
        if not 200 <= status < 300:
            self._note_failure(connection.error(status), answered_s)
        elif self._keep is not None:
            self._keep(connection.request, connection.body)
        if len(self._ends_s) >= self.stop_at:
            self.stop(answered_s)
            self._settle()
        elif connection.keep_alive:
            connection.send(next(self._requests), answered_s)
        else:
            self._replace(connection)

    def _on_opened(self, connection: Connection) -> None:
        if not self.stopped.is_set():
            connection.send(next(self._requests), perf_counter())
