"""Our reader of TorchServe's batches against TorchServe's own."""

import socket
import struct
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ts.protocol import otf_message_handler as others  # type: ignore[import-untyped]

from handlers.wire import batch_from, read_faster

Request = tuple[bytes, list[tuple[bytes, bytes]], list[tuple[str, str, bytes]]]

texts = st.binary(max_size=40)
names = st.text(max_size=10)
requests = st.lists(
    st.tuples(
        texts,
        st.lists(st.tuples(texts, texts), max_size=4),
        st.lists(st.tuples(names, names, texts), max_size=3),
    ),
    max_size=6,
)


def field(value: bytes | str) -> bytes:
    body = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(body)) + body


def message(batch: list[Request]) -> bytes:
    """A batch as the frontend sends it, after its one letter."""
    end = struct.pack("!i", -1)
    whole = b""
    for identity, headers, parameters in batch:
        whole += field(identity)
        whole += b"".join(field(name) + field(value) for name, value in headers) + end
        whole += b"".join(field(part) for parameter in parameters for part in parameter) + end
    return whole + end


def read(reader: Any, sent: bytes, piece_bytes: int = 10**9) -> Any:
    """What `reader` makes of these bytes, sent in pieces; nothing may be left unread."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(
            target=lambda: [
                theirs.sendall(sent[i : i + piece_bytes]) for i in range(0, len(sent), piece_bytes)
            ]
        )
        sender.start()
        found = reader(ours)
        sender.join()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    return found


@pytest.fixture(autouse=True)
def _undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    monkeypatch.setattr(others, "_retrieve_inference_msg", others._retrieve_inference_msg)  # put back


@settings(deadline=None)
@given(batch=requests, piece_bytes=st.integers(1, 200))
def test_a_batch_is_read_as_torchserve_reads_it(batch: list[Request], piece_bytes: int) -> None:
    sent = message(batch)
    assert read(batch_from, sent, piece_bytes) == read(others._retrieve_inference_msg, sent, piece_bytes)


def test_large_bodies_arrive_whole() -> None:
    body = bytes(range(256)) * 20_000
    [request] = read(batch_from, message([(b"id", [], [("data", "image/jpeg", body)])]))
    assert request["parameters"][0]["value"] == body


def test_a_frontend_that_has_gone_ends_the_worker() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\0\0")
    theirs.close()
    with ours, pytest.raises(SystemExit):
        batch_from(ours)


def test_a_worker_gets_it_through_torchserves_own_entry() -> None:
    assert read_faster()
    command, batch = read(others.retrieve_msg, b"I" + message([(b"id", [], [("body", "text/plain", b"x")])]))
    assert command == b"I"
    assert batch == [
        {
            "requestId": b"id",
            "headers": [],
            "parameters": [{"name": "body", "contentType": "text/plain", "value": b"x"}],
        }
    ]


def test_it_is_left_alone_where_torchserve_shall_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    before = others._retrieve_inference_msg
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    assert not read_faster()
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    monkeypatch.setattr("ts.__version__", "0.13.0")
    assert not read_faster()
    assert others._retrieve_inference_msg is before
