"""Keep connections busy and write down every answer: the event-loop side of the load generator.

Here: the closed loop (as many requests in flight as there are connections), its phases, its end.
Not here: bytes and sockets (wire.py), which answers count and what they say (load.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import math
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, thread_time

from experiments.errors import ExperimentError
from experiments.wire import Connection, Target

HOPELESS_FAILURES = 100
"""So many non-2xx answers stop the load: the trial is invalid anyway, and the time better spent."""

_CONNECT_TIMEOUT_S = 10.0
_CONNECTING_AT_ONCE = 64  # less than the usual listen backlog of 128, so that no SYN is dropped
_TICK_S = 0.1
_WARM_UP_TICK_S = 0.005

Progress = Callable[[int, float], None]
"""Called about ten times a second with the answers so far and the seconds since the first request."""


class LoadError(ExperimentError):
    """The load could not be put on the server at all; the message names the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`connections` keep-alive connections, each sending its next request when the last one is answered.

    The load flows without a break through the warm-up, of which nothing is counted, into the measured window.
    That takes `duration_s` seconds, or lasts until `requests` answers came: exactly one of the two is given.
    The concurrency stays whole until then, so up to `connections - 1` more requests are answered uncounted.
    A warm-up ends when both its seconds have passed and its requests are answered, at least one of them.
    """

    connections: int
    duration_s: float | None = None
    requests: int | None = None
    warm_up_s: float = 0.0
    warm_up_requests: int = 0

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


@dataclass(slots=True)
class Recording:
    """Everything that happened, warm-up and drain included. Times in seconds of `perf_counter`.

    `starts_s`, `ends_s` and `statuses` hold one element an answer, in the order of the answers.
    """

    starts_s: array[float] = field(default_factory=lambda: array("d"))
    ends_s: array[float] = field(default_factory=lambda: array("d"))
    statuses: array[int] = field(default_factory=lambda: array("h"))
    first_send_s: float = 0.0
    opens_s: float = 0.0  # the warm-up is over
    closes_s: float = 0.0  # the last moment whose answers may count
    cpu_s: float = 0.0  # of this thread from `opens_s` to `closes_s`
    lost_connections: int = 0
    first_error: str | None = None


async def drive(
    target: Target,
    requests: Sequence[bytes],
    load: ClosedLoop,
    *,
    timeout_s: float,
    progress: Progress | None = None,
) -> Recording:
    """Put the load on the target and return what happened, with no request left in flight.

    `requests` are sent in turn, again and again. Raises LoadError when the target cannot be reached.
    """
    traffic = _Traffic(target, requests, timeout_s, progress)
    try:
        await traffic.connect(load.connections)
        await _measure(traffic, load)
        await traffic.drain()
    finally:
        await traffic.close()
    return traffic.recording


async def _measure(traffic: _Traffic, load: ClosedLoop) -> None:
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
        while len(recording.ends_s) < max(1, load.warm_up_requests) and not traffic.stopped.is_set():
            await traffic.watch_until(perf_counter() + _WARM_UP_TICK_S)
        recording.opens_s, cpu_begin_s = perf_counter(), thread_time()
        if load.requests is not None and not traffic.stopped.is_set():
            traffic.stop_at = len(recording.ends_s) + load.requests
    deadline_s = math.inf if load.duration_s is None else recording.opens_s + load.duration_s
    await traffic.watch_until(deadline_s)
    traffic.stop(deadline_s)
    recording.cpu_s = thread_time() - cpu_begin_s


class _Traffic:
    """The connections of one load and the recording that they fill."""

    def __init__(
        self, target: Target, requests: Sequence[bytes], timeout_s: float, progress: Progress | None
    ) -> None:
        self.recording = Recording()
        self.stopped = asyncio.Event()
        self.stop_at = sys.maxsize  # answers after which nothing more is sent; 0 once that is so
        self._target = target
        self._address = (target.host, target.port)
        self._requests = itertools.cycle(requests)
        self._timeout_s = timeout_s
        self._progress = progress
        self._settled = asyncio.Event()
        self._connections: set[Connection] = set()
        self._reopening: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._ends_s = self.recording.ends_s  # bound once: these four are used for every answer
        self._add_start = self.recording.starts_s.append
        self._add_end = self.recording.ends_s.append
        self._add_status = self.recording.statuses.append

    # The phases, in their order.

    async def connect(self, connections: int) -> None:
        """Open every connection before the first request. Raises LoadError when one of them fails."""
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def open_gently() -> None:
            async with gate:
                await self._open()

        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                for _ in range(connections - 1):
                    group.create_task(open_gently())
        except OSError as error:
            raise LoadError(self._unreachable(error)) from error
        except ExceptionGroup as errors:
            if (of_sockets := errors.subgroup(OSError)) is None:
                raise
            raise LoadError(self._unreachable(of_sockets.exceptions[0])) from errors

    def begin(self) -> None:
        """Send the first request on every connection."""
        for connection in self._connections:
            connection.send(next(self._requests), perf_counter())

    async def watch_until(self, instant_s: float) -> None:
        """Return at `instant_s`, or when the traffic has stopped; until then drop what waits too long."""
        while not self.stopped.is_set() and (left_s := instant_s - perf_counter()) > 0:
            await self._tick(self.stopped, min(left_s, _TICK_S))

    def stop(self, at_s: float) -> None:
        """Send nothing more. Answers later than `at_s` don't count. Only the first call has an effect."""
        if self.stopped.is_set():
            return
        self.recording.closes_s = at_s
        self.stop_at = 0
        self.stopped.set()
        self._settle()

    async def drain(self) -> None:
        """Wait for the answers in flight, each for its timeout at most."""
        while not self._settled.is_set():
            await self._tick(self._settled, _TICK_S)

    async def close(self) -> None:
        """Close every socket, whatever state it is in."""
        for task in self._reopening:
            task.cancel()
        for connection in self._connections:
            connection.close()
        await asyncio.gather(*self._reopening, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next round

    # What happens to a connection.

    def _on_answer(self, connection: Connection, sent_s: float, answered_s: float, status: int) -> None:
        """Write the answer down and send the next request: the generator's only hot path."""
        self._add_start(sent_s)
        self._add_end(answered_s)
        self._add_status(status)
        if not 200 <= status < 300:
            self._note_failure(connection.take_error(status), answered_s)
        if len(self._ends_s) >= self.stop_at:
            self.stop(answered_s)
            self._settle()
        elif connection.keep_alive:
            connection.send(next(self._requests), answered_s)
        else:
            self._replace(connection)

    def _note_failure(self, description: str, now_s: float) -> None:
        self._failures += 1
        self._note_error(description)
        if self._failures >= HOPELESS_FAILURES:
            self.stop(now_s)

    def _on_lost(self, connection: Connection, reason: str) -> None:
        """A lost connection stays lost: the trial is invalid, and the loss must not repeat for ever."""
        self._connections.discard(connection)
        self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.recording.lost_connections += 1
        self._note_error(reason)
        if not self._connections and not self._reopening:
            self.stop(perf_counter())
        self._settle()

    def _note_error(self, description: str) -> None:
        if self.recording.first_error is None:
            self.recording.first_error = description

    def _replace(self, connection: Connection) -> None:
        """The server has announced that it closes the connection: open another in its place."""
        self._connections.discard(connection)
        connection.close()
        task = asyncio.create_task(self._reopen())
        self._reopening.add(task)

    async def _reopen(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            connection = await self._open()
        except OSError as error:
            self._reopening.discard(task)
            self._lose(f"a new connection failed after the server closed one ({error})")
            return
        self._reopening.discard(task)
        if not self.stopped.is_set():
            connection.send(next(self._requests), perf_counter())
        self._settle()

    async def _open(self) -> Connection:
        """A new connection. The first one resolves the name, the others go to the address that answered."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            transport, connection = await loop.create_connection(
                lambda: Connection(self._on_answer, self._on_lost), *self._address
            )
        self._address = transport.get_extra_info("peername")[:2]
        self._connections.add(connection)
        return connection

    # Bookkeeping beside the hot path.

    async def _tick(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for the event for that long, then drop overdue requests and report progress."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        now_s = perf_counter()
        for connection in tuple(self._connections):
            if now_s - connection.sent_s > self._timeout_s:
                connection.give_up(f"no answer within {self._timeout_s:g} s")
        if self._progress is not None:
            self._progress(len(self._ends_s), now_s - self.recording.first_send_s)

    def _settle(self) -> None:
        """After the stop: notice when the last answer is in."""
        if self.stopped.is_set() and not any(each.in_flight for each in self._connections):
            self._settled.set()

    def _unreachable(self, error: Exception) -> str:
        where = f"http://{self._target.authority}"
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return f"out of file descriptors for connections to {where}: use fewer, or raise `ulimit -n`"
        cause = "no answer to the connection attempt" if isinstance(error, TimeoutError) else str(error)
        return f"cannot connect to {where} ({cause}): check that the server runs and the URL names its port"
