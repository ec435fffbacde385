"""A small HTTP server in a thread whose answers, good and bad, a test writes itself.

Here: reading requests, counting connections, the usual answers. Not here: what a test expects of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived. `number` counts the requests of the whole server from 0."""

    number: int
    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class SmallServer:
    """A running server: where it is and what it has seen."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    stop_listening: Callable[[], None] = lambda: None  # for answers to call

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predict?top=1"


def http(status: int = 200, body: bytes = b"ok", *fields: str) -> bytes:
    """An answer as bytes."""
    head = "\r\n".join([f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *fields, "", ""])
    return head.encode() + body


def always(data: bytes, after_s: float = 0.0) -> Answer:
    """The same bytes to every request."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        writer.write(data)

    return answer


async def never(_: Request, __: asyncio.StreamWriter) -> None:
    """No answer at all, with the connection left open."""


def hang_up(after: bytes = b"") -> Answer:
    """Send the bytes, then close the connection."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        writer.close()

    return answer


def in_batches(size: int, every_s: float) -> Answer:
    """Collect requests and answer up to `size` together, as a worker with dynamic batching does."""
    waiting: list[asyncio.StreamWriter] = []
    workers: list[asyncio.Task[None]] = []

    async def work() -> None:
        while True:
            await asyncio.sleep(every_s)
            batch = waiting[:size]
            del waiting[:size]
            for writer in batch:
                writer.write(http())

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)
        if not workers:
            workers.append(asyncio.create_task(work()))

    return answer


@contextmanager
def serving(answer: Answer) -> Iterator[SmallServer]:
    """Run a server on a free loopback port while the block runs."""
    server = SmallServer()
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def serve() -> None:
        listener = await asyncio.start_server(
            lambda r, w: _serve_connection(server, answer, r, w), "127.0.0.1", 0
        )
        server.port = listener.sockets[0].getsockname()[1]
        server.stop_listening = listener.close
        ready.set()
        await done.wait()
        listener.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()


async def _serve_connection(
    server: SmallServer, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    server.connections += 1
    server.open_connections += 1
    try:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(len(server.requests), head[0], headers, body)
                server.requests.append(request)
                await answer(request, writer)
    finally:
        server.open_connections -= 1
        writer.close()
