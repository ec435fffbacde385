"""Batches from TorchServe's socket, and the answers to it, in place of TorchServe's own reader and writer.

TorchServe 0.12.0 asks the kernel for every number and every string of a request, about 35 times, and puts an
answer together of some 20 pieces. What arrives on either side is the same. Here: bytes, and what `ts.service`
wants to have of them; what a request means is payload.py's business.
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

MODULES = ("ts.protocol.otf_message_handler", "ts.service", "ts.context")
OTHERS_VERSION = "0.12.0"
DECODING = "TS_DECODE_INPUT_REQUEST"

CHUNK_BYTES = 2**18
END_OF_LIST = -1
_INT = struct.Struct("!i")


@dataclass(frozen=True, slots=True)
class Discarded:
    """Stands for a part of a request that was larger than any handler would look at."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """Stands for parts of a request that have the same name. TorchServe's own reader keeps the last."""


Part = bytes | Discarded | Repeated
# What a client sent: the request's id, its parts by name, its headers with the parts' declared types.
Request = tuple[str, dict[str, Part], dict[str, Any]]


def go_faster(most_bytes: int) -> bool:
    """Have texts and JSON left as bytes by this worker, and replace its reader and writer; leave these where
    this is no worker of that TorchServe. Tells whether they were replaced.

    Of a part of more than `most_bytes`, only the size is kept: what will be refused takes no memory.
    """
    # The frontend sets it to true. But TorchServe would parse and decode what we may refuse for its size, and
    # log what is not UTF-8. The process serves our handler and no other.
    os.environ[DECODING] = "false"
    modules: list[Any] = [sys.modules.get(name) for name in MODULES]
    known = getattr(sys.modules.get("ts"), "__version__", None) == OTHERS_VERSION
    if None in modules or not known:
        return False
    protocol, service, context = modules
    service.Service.retrieve_data_for_inference = staticmethod(rows_with(context.RequestProcessor))
    service.create_predict_response = answers_or(protocol.create_predict_response)
    protocol._retrieve_inference_msg = partial(batch_from, most_bytes=most_bytes)
    return True


# From the frontend.


def batch_from(connection: socket.socket, most_bytes: int) -> list[Request]:
    """The requests of a batch. The frontend sends nothing more before it has the answer, so nothing is read
    beyond them. Raises SystemExit where the frontend has gone."""
    requests: list[Request] = []
    held, at = bytes(_more(connection, 0)), 0
    while True:
        try:
            request, at = _request(held, at, most_bytes)
        except _TooLargeError as large:
            body_begins = large.at + 4
            body_ends = body_begins + large.size_bytes
            _skip(connection, body_ends - len(held))
            held, at = held[at : large.at] + _INT.pack(-large.size_bytes) + held[body_ends:], 0
        except _IncompleteError as incomplete:
            held, at = held[at:] + _more(connection, incomplete.missing_bytes), 0
        except struct.error:  # it ends within a number
            held, at = held[at:] + _more(connection, 0), 0
        else:
            if request is None:
                return requests
            requests.append(request)


def rows_with(processor: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """What stands in for `Service.retrieve_data_for_inference`: a batch -> a request processor, the parts and
    the id of each request."""

    def rows(
        batch: Sequence[Request],
    ) -> tuple[list[Any], list[dict[str, Part]], dict[int, str]]:
        ids = {index: request[0] for index, request in enumerate(batch)}
        return [processor(request[2]) for request in batch], [request[1] for request in batch], ids

    return rows


class _IncompleteError(Exception):
    """A value of known length is not all there."""

    def __init__(self, missing_bytes: int) -> None:
        self.missing_bytes = missing_bytes


class _TooLargeError(Exception):
    """The part whose size stands at `at` is not to be kept. Its size is then negated, and nothing follows."""

    def __init__(self, at: int, size_bytes: int) -> None:
        self.at, self.size_bytes = at, size_bytes


def _request(held: bytes, at: int, most_bytes: int) -> tuple[Request | None, int]:
    """The request that begins at `at`, and where it ends; None for the end of the batch.

    Raises _IncompleteError, struct.error where it isn't all there, and _TooLargeError.
    """
    number, whole = _INT.unpack_from, len(held)
    (length,) = number(held, at)
    at += 4
    if length == END_OF_LIST:
        return None, at
    identity, at = held[at : at + length], at + length
    said: dict[str, str] = {}
    while (length := number(held, at)[0]) != END_OF_LIST:
        name_ends = at + 4 + length
        value_ends = name_ends + 4 + number(held, name_ends)[0]
        if value_ends > whole:
            raise _IncompleteError(value_ends - whole)
        said[held[at + 4 : name_ends].decode()] = held[name_ends + 4 : value_ends].decode()
        at = value_ends
    at += 4
    parts: dict[str, Part] = {}
    headers: dict[str, Any] = {}
    while (length := number(held, at)[0]) != END_OF_LIST:
        name_ends = at + 4 + length
        type_ends = name_ends + 4 + number(held, name_ends)[0]
        (size_bytes,) = number(held, type_ends)
        if size_bytes > most_bytes:
            raise _TooLargeError(type_ends, size_bytes)
        value_ends = type_ends + 4 + max(size_bytes, 0)
        if value_ends > whole:
            raise _IncompleteError(value_ends - whole)
        name = held[at + 4 : name_ends].decode()
        headers[name] = {"content-type": held[name_ends + 4 : type_ends].decode()}
        part: Part = held[type_ends + 4 : value_ends] if size_bytes >= 0 else Discarded(-size_bytes)
        parts[name] = Repeated() if name in parts else part
        at = value_ends
    headers.update(said)  # a header wins over a part of its name, as in TorchServe
    return (identity.decode(), parts, headers), at + 4


def _more(connection: socket.socket, missing_bytes: int) -> bytes | bytearray:
    """At least so many bytes, or one, and whatever else is there already."""
    first: bytes = _received(connection.recv(CHUNK_BYTES))
    if len(first) >= missing_bytes:
        return first
    whole = bytearray(missing_bytes)
    whole[: len(first)] = first
    rest = memoryview(whole)[len(first) :]
    while rest:
        rest = rest[_received(connection.recv_into(rest)) :]
    return whole


def _skip(connection: socket.socket, bytes_left: int) -> None:
    """Receive so many bytes, if it is more than none, and forget them."""
    scratch = memoryview(bytearray(min(max(bytes_left, 0), CHUNK_BYTES)))
    while bytes_left > 0:
        bytes_left -= _received(connection.recv_into(scratch[:bytes_left]))


def _received(anything: Any) -> Any:
    if not anything:
        sys.exit(0)  # as TorchServe's own reader does
    return anything


# To the frontend.


def answers_or(others: Callable[..., bytearray]) -> Callable[..., Any]:
    """What stands in for `create_predict_response`: one join for a batch of bodies that are bytes already;
    whatever else a handler or TorchServe may answer is left to `others`."""

    def create_predict_response(
        bodies: Any,
        ids: Mapping[int, str],
        message: str,
        code: int,
        context: Any = None,
        ts_stream_next: bool = False,
    ) -> Any:
        plain = isinstance(bodies, list) and all(map(isinstance, bodies, repeat(bytes)))
        if not plain or context is None or ts_stream_next or context.stopping_criteria:
            return others(bodies, ids, message, code, context, ts_stream_next)
        pieces = [_INT.pack(code), _field(message)]
        heads: dict[Any, bytes] = {}
        for index, identity in ids.items():
            status, headers = context.get_response_status(index), context.get_response_headers(index)
            if "ts_stream_next" in headers:
                return others(bodies, ids, message, code, context, ts_stream_next)
            like = status, *headers.items()
            if like not in heads:
                heads[like] = _head(status, headers)
            body = bodies[index]
            pieces += (_field(identity), heads[like], _INT.pack(len(body)), body)
        pieces.append(_INT.pack(END_OF_LIST))
        return b"".join(pieces)

    return create_predict_response


def _head(status: tuple[int | None, str | None], headers: Mapping[str, str]) -> bytes:
    """Content type, status and headers of an answer: the same for most of a batch."""
    code, phrase = status
    return b"".join(
        [
            _field(headers.get("content-type") or ""),
            _INT.pack(200 if code is None else code),
            _field(phrase or ""),
            _INT.pack(len(headers)),
            *(_field(text) for header in headers.items() for text in header),
        ]
    )


def _field(text: str) -> bytes:
    encoded = text.encode()
    return _INT.pack(len(encoded)) + encoded
