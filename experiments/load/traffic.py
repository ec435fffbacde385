"""What every load has in common: its connections, the record of every answer, and how it ends.

Here: opening, losing and closing connections, timeouts, progress, the recording.
Not here: when a request is sent (closed_loop.py, open_loop.py), bytes and sockets (wire.py), what the answers
say (result.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import ssl
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.base.errors import ExperimentError
from experiments.load.before.target import Target, tls_of
from experiments.load.kept import Kept
from experiments.load.wire import Connection

HOPELESS_FAILURES = 100
"""So many failed requests stop the load: the trial is invalid anyway, and the time better spent."""

_CONNECT_TIMEOUT_S = 10.0
_CONNECTING_AT_ONCE = 64  # less than the usual listen backlog of 128, so that no SYN is dropped
_TICK_S = 0.1

T = TypeVar("T")

Progress = Callable[[int, float], None]
"""Called about ten times a second with the answers so far and the seconds since the first request."""

Ready = Callable[[], Awaitable[float]]
"""Called when all connections are open; gives the instant of `perf_counter` at which the load begins."""


class LoadError(ExperimentError):
    """The load could not be put on the server at all; the message names the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Part:
    """The share of one client process in a load: its number, from 0, and how many there are."""

    number: int = 0
    of: int = 1

    def split(self, total: int) -> int:
        """This part of a total that is dealt as evenly as it can be."""
        return total // self.of + (self.number < total % self.of)

    def deal(self, things: Iterable[T]) -> Iterator[T]:
        """Every `of`-th of the things, so that all parts together have each of them once."""
        if self.of == 1:
            return iter(things)
        return itertools.islice(things, self.number, None, self.of)


WHOLE = Part()


@dataclass(slots=True, eq=False)
class Pace:
    """How an open loop kept to its schedule. Times in seconds of `perf_counter`.

    `due_s` has an element a scheduled request, ascending. Parallel to it are `lateness_s`, how much later the
    generator got to it (NaN: never), and `sent`, whether it was sent. `numbers` has an element an answer: the
    index of its request in `due_s`. `busy_s` is how long, between `opens_s` and `closes_s`, the generator ran
    or waited for a core.
    """

    due_s: NDArray[np.float64]
    lateness_s: NDArray[np.float64]
    sent: NDArray[np.bool_]
    numbers: array[int]
    busy_s: float


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
    closes_s: float = 0.0  # the last moment that counts
    settled: bool | None = None  # whether the rate was steady when the warm-up ended; None: nobody looked
    cpu_s: float = 0.0  # of the generator from `opens_s` to `closes_s`
    lost_connections: int = 0
    first_error: str | None = None
    pace: Pace | None = None  # of an open loop
    kept: Kept | None = None  # where answers are kept


async def at_once() -> float:
    """A load that needs to wait for nobody begins when its connections are open."""
    return perf_counter()


async def sleep_until(instant_s: float) -> None:
    """Return at an instant of `perf_counter`, to about a millisecond."""
    await asyncio.sleep(max(0.0, instant_s - perf_counter()))


class Traffic(ABC):
    """The connections of one load and the recording that they fill. Subclasses know when to send."""

    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        timeout_s: float,
        progress: Progress | None = None,
        part: Part = WHOLE,
        keep_answers: bool = False,
    ) -> None:
        self.recording = Recording(kept=Kept() if keep_answers else None)
        self.stopped = asyncio.Event()
        self._target = target
        self._address = (target.host, target.port)
        self._tls = tls_of(target)
        self._part = part
        self._requests = part.deal(itertools.cycle(requests))
        self._timeout_s = timeout_s
        self._progress = progress
        self._settled = asyncio.Event()
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._ends_s = self.recording.ends_s  # bound once: these are used for every answer
        self._add_start = self.recording.starts_s.append
        self._add_end = self.recording.ends_s.append
        self._add_status = self.recording.statuses.append
        self._keep = self.recording.kept.add if self.recording.kept else None

    # What differs between loads.

    @abstractmethod
    def _on_answer(self, connection: Connection, sent_s: float, answered_s: float, status: int) -> None:
        """Write the answer down and do what follows from it: the only hot path of a load."""

    @abstractmethod
    def _on_opened(self, connection: Connection) -> None:
        """Use a connection that was opened while the load ran."""

    # The phases, in their order.

    async def connect(self, connections: int) -> None:
        """Open so many connections before the first request. Raises LoadError when one of them fails."""
        left = iter(range(connections - 1))

        async def open_one_by_one() -> None:
            for _ in left:
                await self._open()

        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                for _ in range(max(1, _CONNECTING_AT_ONCE // self._part.of)):
                    group.create_task(open_one_by_one())
        except OSError as error:
            raise LoadError(self._unreachable(error)) from error
        except ExceptionGroup as errors:
            if (of_sockets := errors.subgroup(OSError)) is None:
                raise
            raise LoadError(self._unreachable(of_sockets.exceptions[0])) from errors

    async def watch_until(self, instant_s: float) -> None:
        """Return at `instant_s`, or when the traffic has stopped; until then drop what waits too long."""
        while not self.stopped.is_set() and (left_s := instant_s - perf_counter()) > 0:
            await self._tick(self.stopped, min(left_s, _TICK_S))

    def stop(self, at_s: float) -> None:
        """Send nothing more. What is later than `at_s` doesn't count. Only the first call has an effect."""
        if self.stopped.is_set():
            return
        self.recording.closes_s = at_s
        self.stopped.set()
        self._settle()

    async def drain(self) -> None:
        """Wait for the answers in flight, each for its timeout at most."""
        while not self._settled.is_set():
            await self._tick(self._settled, _TICK_S)

    async def close(self) -> None:
        """Close every socket, whatever state it is in."""
        for task in self._opening:
            task.cancel()
        for connection in self._connections:
            connection.close()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next round

    # What happens to a connection.

    def _note_failure(self, description: str, now_s: float) -> None:
        self._failures += 1
        if self.recording.first_error is None:
            self.recording.first_error = description
        if self._failures >= HOPELESS_FAILURES:
            self.stop(now_s)

    def _on_lost(self, connection: Connection, reason: str) -> None:
        """A lost connection stays lost: the trial is invalid, and the loss must not repeat for ever."""
        self._connections.discard(connection)
        self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.recording.lost_connections += 1
        self._note_failure(reason, perf_counter())
        if not self._connections and not self._opening:
            self.stop(perf_counter())
        self._settle()

    def _replace(self, connection: Connection) -> None:
        """The server has announced that it closes the connection: open another in its place."""
        self._connections.discard(connection)
        connection.close()
        self._open_another()

    def _open_another(self) -> None:
        self._opening.add(asyncio.create_task(self._open_while_running()))

    async def _open_while_running(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            connection = await self._open()
        except OSError as error:
            self._opening.discard(task)
            self._lose(f"a new connection failed while the load ran ({error})")
            return
        self._opening.discard(task)
        self._on_opened(connection)
        self._settle()

    async def _open(self) -> Connection:
        """A new connection. The first one resolves the name, the others go to the address that answered."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            transport, connection = await loop.create_connection(
                lambda: Connection(self._on_answer, self._on_lost),
                *self._address,
                ssl=self._tls,
                server_hostname=self._target.host if self._tls else None,
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
        where = self._target.where
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return f"out of file descriptors for connections to {where}: use fewer, or raise `ulimit -n`"
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message or str(error)
            return f"the certificate of {where} is not trusted ({why}): give its authority's with --ca FILE"
        if isinstance(error, ssl.SSLError):
            return f"no TLS with {where} ({error.reason or error}): check that this port speaks https"
        cause = "no answer to the connection attempt" if isinstance(error, TimeoutError) else str(error)
        return f"cannot connect to {where} ({cause}): check that the server runs and the URL names its port"
