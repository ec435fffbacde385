"""A server of known truth in a process of its own: first come first served, with scripted service times.

It follows queueing.departures() to the letter, whatever else the machine does, as its next departure is
computed from the last one and from the arrivals. It answers then, and tells in the end when requests arrived,
should have left and were answered. Tests use `scripted()`; as a program this module is that process.
"""

from __future__ import annotations

import asyncio
import json
import math
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from experiments.base.paths import ROOT
from tests.support.queueing import NO_STALL, Stall, finish
from tests.support.small_server import http


@dataclass(frozen=True, slots=True)
class Script:
    """As queueing.departures() takes it."""

    services_s: Sequence[float]
    most: int = 1
    stall: Stall = NO_STALL


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """What the server saw, one element a request in the order of arrival; seconds of `perf_counter`."""

    arrived_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    written_s: NDArray[np.float64]


@dataclass(slots=True)
class Scripted:
    """A running server. Its witness is there when it has ended."""

    url: str
    witness: Witness | None = None


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """Run such a server while the block runs."""
    stall = [script.stall.period_s, script.stall.length_s]
    text = json.dumps([list(script.services_s), script.most, None if script.stall == NO_STALL else stall])
    command = [sys.executable, "-m", "tests.support.scripted_server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text.encode() + b"\n")
        process.stdin.flush()
        server = Scripted(f"http://127.0.0.1:{int(process.stdout.readline())}/")
        yield server
        told, _ = process.communicate()
        server.witness = Witness(*(np.array(times) for times in json.loads(told)))
    finally:
        process.kill()
        process.wait()


@dataclass(slots=True)
class _Queue:
    """The requests that wait, the batch that is served, and the times of all that were."""

    script: Script
    waiting: deque[tuple[float, asyncio.Transport]] = field(default_factory=deque)
    busy: bool = False
    free_s: float = -math.inf
    origin_s: float = 0.0
    batches: int = 0
    arrived_s: list[float] = field(default_factory=list)
    done_s: list[float] = field(default_factory=list)
    written_s: list[float] = field(default_factory=list)

    def arrive(self, transport: asyncio.Transport) -> None:
        now_s = perf_counter()
        if not self.arrived_s:
            self.origin_s = now_s
        self.arrived_s.append(now_s)
        self.waiting.append((now_s, transport))
        if not self.busy:
            self._serve()

    def _serve(self) -> None:
        start_s = max(self.free_s, self.waiting[0][0])
        batch: list[asyncio.Transport] = []
        while self.waiting and len(batch) < self.script.most and self.waiting[0][0] <= start_s:
            batch.append(self.waiting.popleft()[1])
        work_s = self.script.services_s[self.batches % len(self.script.services_s)]
        self.free_s = self.origin_s + finish(self.script.stall, start_s - self.origin_s, work_s)
        self.busy, self.batches = True, self.batches + 1
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + self.free_s - perf_counter(), self._answer, batch)

    def _answer(self, batch: list[asyncio.Transport]) -> None:
        for transport in batch:
            self.done_s.append(self.free_s)
            self.written_s.append(perf_counter())
            transport.write(http())
        self.busy = False
        if self.waiting:
            self._serve()


class _Connection(asyncio.Protocol):
    def __init__(self, queue: _Queue) -> None:
        self.queue = queue
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Requests are GETs, so that each ends with its head."""
        *requests, self.received = (self.received + data).split(b"\r\n\r\n")
        for _ in requests:
            self.queue.arrive(self.transport)


async def _serve_until_input_ends(script: Script) -> None:
    queue = _Queue(script)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(lambda: _Connection(queue), "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(0, ended.set)
    await ended.wait()
    print(json.dumps([queue.arrived_s, queue.done_s, queue.written_s]))


def main() -> None:
    services_s, most, stall = json.loads(sys.stdin.buffer.readline())
    script = Script(services_s, most, Stall(*stall) if stall else NO_STALL)
    # select() keeps microseconds where epoll rounds up to milliseconds.
    factory = lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())  # noqa: E731
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve_until_input_ends(script))


if __name__ == "__main__":
    main()
