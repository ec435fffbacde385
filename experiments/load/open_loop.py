"""The open loop: requests are sent when they are due, however long the answers take, as users do.

Here: what is asked for, its schedule, sending on time, and how late the generator itself was.
Not here: connections and records (traffic.py), the clock that wakes us (alarm.py), what is made of it all
(result.py).

A request that is due while every connection waits for an answer stays in the schedule and is sent by the
first one that gets free. Its latency counts from the moment when it was due, so a server that stalls cannot
hide that by keeping the generator from sending ("coordinated omission").
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np
from numpy.typing import NDArray

from experiments.load.alarm import Alarm
from experiments.load.before.target import Target
from experiments.load.traffic import WHOLE, Pace, Part, Progress, Ready, Recording, Traffic, at_once
from experiments.load.wire import Connection
from experiments.plan.defaults import ARRIVALS, MOST_IN_FLIGHT

_OPENED_BEFOREHAND = 64  # the others, up to the bound, when they are needed for the first time
_OPENING_AT_ONCE = 8  # each takes the generator some 0.1 ms, and others are due meanwhile
_TICK_S = 0.1
_LEAD_S = 0.01  # from the last connection to the first request: the first must not be late


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """`rate_rps` requests a second for `duration_s`, after `warm_up_s` of the same that don't count.

    Arrivals are "poisson" (independent users: the gaps are exponential) or "constant". What counts are the
    requests that are due inside the window; they are waited for after its end. At most `max_in_flight` are on
    their way to the server at a time, each on a connection of its own. Where more than `most_waiting` of
    those that are due have no answer yet, the window ends then: a server that far behind stays behind.
    """

    rate_rps: float
    duration_s: float
    arrivals: str = "poisson"
    warm_up_s: float = 0.0
    max_in_flight: int = MOST_IN_FLIGHT
    most_waiting: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate_rps < math.inf:
            raise ValueError(f"a rate of {self.rate_rps} requests/s is no load: give more than 0")
        if not 0 < self.duration_s < math.inf:
            raise ValueError(f"a duration of {self.duration_s} s measures nothing: give more than 0")
        if not 0 <= self.warm_up_s < math.inf:
            raise ValueError("a warm-up cannot be negative or endless: give 0 for none")
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"{self.arrivals!r} is no way to arrive: give {' or '.join(ARRIVALS)}")
        if self.max_in_flight < 1:
            raise ValueError(f"{self.max_in_flight} connections carry no load: give at least 1")
        if self.most_waiting is not None and self.most_waiting < 1:
            raise ValueError(
                f"with {self.most_waiting} requests waiting at most no load begins: give at least 1"
            )

    def schedule(self, seed: int) -> NDArray[np.float64]:
        """When the requests are due, in seconds from the begin of the warm-up, ascending.

        A seed gives the same schedule everywhere; "constant" needs none.
        """
        total_s = self.warm_up_s + self.duration_s
        if self.arrivals == "constant":
            due_s = np.arange(math.ceil(total_s * self.rate_rps) + 1) / self.rate_rps
        else:
            expected = total_s * self.rate_rps
            enough = math.ceil(expected + 10 * math.sqrt(expected) + 10)  # by ten standard deviations
            due_s = np.cumsum(np.random.default_rng(seed).exponential(1 / self.rate_rps, enough))
        return due_s[due_s < total_s]


async def drive_open(
    target: Target,
    requests: Sequence[bytes],
    load: OpenLoop,
    *,
    seed: int,
    timeout_s: float,
    progress: Progress | None = None,
    ready: Ready = at_once,
    part: Part = WHOLE,
    keep_answers: bool = False,
) -> Recording:
    """Put the load on the target and return what happened, with no request left in flight.

    Request number n of the schedule is `requests[n % len(requests)]`. What was not sent a timeout after the
    window's end isn't sent any more. Raises LoadError when the target cannot be reached.
    """
    due_s = load.schedule(seed)[part.number :: part.of]
    bound = part.split(load.max_in_flight)
    traffic = _OpenTraffic(target, requests, timeout_s, progress, part, keep_answers, bound)
    try:
        await traffic.connect(min(bound, part.split(_OPENED_BEFOREHAND) or 1))
        start_s = await ready() + _LEAD_S
        traffic.begin(due_s + start_s)
        most_waiting = None if load.most_waiting is None else max(1, part.split(load.most_waiting))
        await _measure(traffic, start_s, load, timeout_s, most_waiting)
        await traffic.drain()
    finally:
        await traffic.close()
    return traffic.recording


async def _measure(
    traffic: _OpenTraffic, start_s: float, load: OpenLoop, timeout_s: float, most_waiting: int | None
) -> None:
    """Walk through warm-up, window and backlog: sets all of the recording that isn't of single answers."""
    recording = traffic.recording
    recording.first_send_s, recording.opens_s = start_s, start_s + load.warm_up_s
    closes_s = recording.opens_s + load.duration_s
    await traffic.watch_until(recording.opens_s)
    cpu_begin_s, waited_begin_s = thread_time(), _waited_for_a_core_s()
    closes_s = await _watch_window(traffic, closes_s, most_waiting)
    recording.cpu_s = thread_time() - cpu_begin_s
    busy_s = recording.cpu_s + _waited_for_a_core_s() - waited_begin_s
    await traffic.send_the_rest(closes_s + timeout_s)
    traffic.stop(closes_s)
    recording.closes_s = min(recording.closes_s, closes_s)
    recording.pace = traffic.pace(busy_s)


async def _watch_window(traffic: _OpenTraffic, closes_s: float, most_waiting: int | None) -> float:
    """Return when the window is over: at `closes_s`, or before where too many requests wait."""
    if most_waiting is None:
        await traffic.watch_until(closes_s)
        return closes_s
    while (now_s := perf_counter()) < closes_s and not traffic.stopped.is_set():
        await traffic.watch_until(min(closes_s, now_s + _TICK_S))
        if traffic.waiting > most_waiting and perf_counter() < closes_s:
            return traffic.cut()
    return closes_s


class _OpenTraffic(Traffic):
    """Requests leave when they are due, or as soon after that as a connection is free, in their order."""

    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        timeout_s: float,
        progress: Progress | None,
        part: Part,
        keep_answers: bool,
        bound: int,
    ) -> None:
        super().__init__(target, requests, timeout_s, progress, part, keep_answers)
        self._bound = bound
        self._alarm = Alarm(self._on_alarm)
        self._due_s: list[float] = []
        self._next_due_s = math.inf
        self._reached = 0  # so many requests were noticed to be due
        self._sent = 0  # so many of them were sent
        self._free: deque[Connection] = deque()
        self._numbers = array("l")
        self._lateness_s = array("d")

    def begin(self, due_s: NDArray[np.float64]) -> None:
        """Start to send: request number n at `due_s[n]` of `perf_counter`."""
        self._due_s = [*due_s.tolist(), math.inf]
        self._next_due_s = self._due_s[0]
        self._free.extend(self._connections)
        self._alarm.set(self._next_due_s)

    @property
    def waiting(self) -> int:
        """So many requests that are due have no answer yet."""
        return self._reached - len(self._ends_s) - self.recording.lost_connections

    def cut(self) -> float:
        """Let the schedule end here: what is due later is no part of it. Returns when that is."""
        now_s = perf_counter()
        self._due_s = [*self._due_s[: self._reached], math.inf]
        self._next_due_s = math.inf
        return now_s

    async def send_the_rest(self, until_s: float) -> None:
        """Return when all that was due has been sent, or at `until_s`, or when the traffic has stopped."""
        while self._sent < len(self._due_s) - 1 and perf_counter() < until_s and not self.stopped.is_set():
            await self.watch_until(perf_counter() + _TICK_S)

    def stop(self, at_s: float) -> None:
        self._next_due_s = math.inf
        super().stop(at_s)

    def pace(self, busy_s: float) -> Pace:
        """How the schedule was kept so far. Answers that come later are added to its `numbers`."""
        due_s = np.array(self._due_s[:-1])
        lateness_s = np.full(len(due_s), np.nan)
        lateness_s[: self._reached] = self._lateness_s
        return Pace(due_s, lateness_s, np.arange(len(due_s)) < self._sent, self._numbers, busy_s)

    async def close(self) -> None:
        self._alarm.close()
        await super().close()

    # What is due.

    def _on_alarm(self) -> None:
        self._catch_up()
        self._alarm.set(self._next_due_s)

    def _catch_up(self) -> None:
        """Notice everything that is due by now. The clock is read for each, as sending takes its time."""
        while self._next_due_s <= (now_s := perf_counter()):
            self._lateness_s.append(now_s - self._next_due_s)
            self._reached += 1
            self._next_due_s = self._due_s[self._reached]
            if (connection := self._take_free()) is not None:
                self._send(connection, now_s)
            else:
                self._open_more()

    def _send(self, connection: Connection, now_s: float) -> None:
        """Send the first request that waits."""
        connection.number = self._sent
        self._sent += 1
        connection.send(next(self._requests), now_s)

    def _take_free(self) -> Connection | None:
        """The connection that was free for longest, so that all are used: the server may deal them out."""
        while self._free:
            connection = self._free.popleft()
            if connection.is_open:
                return connection
            self._connections.discard(connection)
        return None

    def _open_more(self) -> None:
        """Where a request waits: open a connection for it if the bound allows, but not too many at once."""
        if self.stopped.is_set():
            return
        room = min(self._bound - len(self._connections), _OPENING_AT_ONCE)
        if len(self._opening) < min(room, self._reached - self._sent):
            self._open_another()

    # What happens to a connection.

    def _on_answer(self, connection: Connection, sent_s: float, answered_s: float, status: int) -> None:
        self._add_start(sent_s)
        self._add_end(answered_s)
        self._add_status(status)
        self._numbers.append(connection.number)
        if not 200 <= status < 300:
            self._note_failure(connection.error(status), answered_s)
        elif self._keep is not None:
            self._keep(connection.request, connection.body)
        if self.stopped.is_set():
            self._settle()
        elif not connection.keep_alive:
            self._replace(connection)
        elif self._sent < self._reached:
            self._send(connection, answered_s)
        else:
            self._free.append(connection)
        if self._next_due_s <= answered_s:  # a loop busy with answers comes late to its alarm
            self._catch_up()

    def _on_opened(self, connection: Connection) -> None:
        if self._sent < self._reached and not self.stopped.is_set():
            self._send(connection, perf_counter())
        else:
            self._free.append(connection)
        self._open_more()

    def _on_lost(self, connection: Connection, reason: str) -> None:
        super()._on_lost(connection, reason)
        self._open_more()


def _waited_for_a_core_s() -> float:
    """How long in its life this thread wanted a core and had none; 0 where the kernel doesn't tell."""
    with suppress(OSError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_text("utf-8").split()[1]) / 1e9
    return 0.0
