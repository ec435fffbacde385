"""One HTTP/1.1 keep-alive connection, as cheap as Python allows: ready-made bytes out, a callback per answer.

Here: the protocol object that sends and parses.
Not here: requests (before/), what is sent when and what is counted (traffic.py), what that means (result.py).
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import responses
from time import perf_counter
from typing import cast

import httptools

IDLE = math.inf
"""`Connection.sent_s` while no request is in flight: never overdue, whatever the timeout."""

ERROR_TEXT_CHARS = 300
MOST_BODY_BYTES = 2**20  # of an answer, of which no more is kept
MOST_HEAD_BYTES = 2**16  # of an answer that comes in pieces: more than servers send


class Connection(asyncio.Protocol):
    """A connection with at most one request in flight.

    `on_answer(connection, sent_s, answered_s, status)` is called when an answer is complete, and
    `on_lost(connection, reason)` when one that was waited for will not come. Times are of `perf_counter`.
    `number` is the sender's own, to know the request again when its answer comes; `request` and `body` are
    what was sent last, and what has come of its answer's body.
    """

    __slots__ = (
        "_begun",
        "_begun_s",
        "_on_answer",
        "_on_lost",
        "_parser",
        "_transport",
        "body",
        "keep_alive",
        "number",
        "request",
        "sent_s",
    )

    def __init__(
        self,
        on_answer: Callable[[Connection, float, float, int], None],
        on_lost: Callable[[Connection, str], None],
    ) -> None:
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._begun = b""  # of an answer that came in pieces, the first of them
        self._begun_s = IDLE  # when its request was sent
        self.sent_s = IDLE
        self.number = 0
        self.keep_alive = True
        self.request = self.body = b""

    # What traffic asks of a connection.

    @property
    def in_flight(self) -> bool:
        return self.sent_s != IDLE

    @property
    def is_open(self) -> bool:
        """False once either side has closed it: a server may close a connection that is idle."""
        return not self._transport.is_closing()

    def send(self, request: bytes, now_s: float) -> None:
        """Send a rendered request. `now_s` is its start: the caller has just read the clock anyway."""
        self.sent_s = now_s
        self.request = request
        self.body = b""
        self._transport.write(request)

    def error(self, status: int) -> str:
        """One line about the non-2xx answer that has just arrived: its status and the begin of its body."""
        begin = self.body[: 4 * ERROR_TEXT_CHARS].decode("utf-8", "replace")
        text = " ".join(begin.split())[:ERROR_TEXT_CHARS]
        return f"{status} {responses.get(status, '')}".rstrip() + (f": {text}" if text else "")

    def give_up(self, reason: str) -> None:
        """Drop the connection; a request in flight is reported as lost for `reason`."""
        self._transport.abort()
        self._lose(reason)

    def close(self) -> None:
        """Drop the connection without a word. Aborts: what an early answer left unsent is of no use."""
        self.sent_s = IDLE
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        sent_s = self.sent_s
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.give_up(f"the server sent something that is no HTTP/1.1 answer ({error})")
            return
        if self.sent_s == sent_s != IDLE:  # not all of the answer is there yet
            self._keep_begin(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if (
            exc is None
            and self.in_flight
            and self._begun_s == self.sent_s
            and ends_with_connection(self._begun)
        ):
            sent_s, self.sent_s, self.keep_alive = self.sent_s, IDLE, False
            self._on_answer(self, sent_s, perf_counter(), self._parser.get_status_code())
        self._lose(f"the connection broke before a complete answer came ({exc or 'closed by the server'})")

    def _keep_begin(self, data: bytes) -> None:
        if self._begun_s != self.sent_s:
            self._begun, self._begun_s = b"", self.sent_s
        if len(self._begun) < MOST_HEAD_BYTES:
            self._begun += data

    def _lose(self, reason: str) -> None:
        if self.in_flight:
            self.sent_s = IDLE
            self._on_lost(self, reason)

    # What the parser calls. With a callback fewer an answer costs about 0.2 us less, so there are only two.

    def on_body(self, body: bytes) -> None:
        if len(self.body) < MOST_BODY_BYTES:
            self.body += body

    def on_message_complete(self) -> None:
        answered_s = perf_counter()
        sent_s = self.sent_s
        status = self._parser.get_status_code()
        if status < 200 or sent_s == IDLE:
            return  # an interim answer (100 Continue), or one that nobody asked for
        self.sent_s = IDLE
        self.keep_alive = self._parser.should_keep_alive()
        self._on_answer(self, sent_s, answered_s, status)


class _Head:
    """What the parser finds in an answer's head; an interim answer's is forgotten with the next."""

    def __init__(self) -> None:
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.complete = False
        self.fields: dict[bytes, bytes] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value.lower()

    def on_headers_complete(self) -> None:
        self.complete = True


def ends_with_connection(begun: bytes) -> bool:
    """Whether an answer that begins so, and is not complete, is so when the connection ends (RFC 9112, 6.3).

    That is found out when a connection ends and not before: nearly all answers tell their length.
    """
    head = _Head()
    parser = httptools.HttpResponseParser(head)
    with suppress(httptools.HttpParserError):
        parser.feed_data(begun)
    coded = head.fields.get(b"transfer-encoding", b"")
    told = coded.endswith(b"chunked") or (not coded and b"content-length" in head.fields)
    return head.complete and parser.get_status_code() >= 200 and not told
