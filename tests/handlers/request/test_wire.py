"""Our reader and writer of TorchServe's messages against TorchServe's own."""

import os
import socket
import struct
import threading
import tracemalloc
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ts import service  # type: ignore[import-untyped]
from ts.context import Context, RequestProcessor  # type: ignore[import-untyped]
from ts.protocol import otf_message_handler as others  # type: ignore[import-untyped]

from handlers.request.wire import Discarded, Repeated, answers_or, batch_from, go_faster, rows_with

Sent = tuple[str, list[tuple[str, str]], list[tuple[str, str, bytes]]]

bodies = st.binary(max_size=40)
names = st.text(max_size=10)
requests = st.lists(
    st.tuples(
        names,
        st.lists(st.tuples(names, names), max_size=4),
        st.lists(st.tuples(names, names, bodies), max_size=3),
    ),
    max_size=6,
)


def field(value: bytes | str) -> bytes:
    body = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(body)) + body


def message(batch: list[Sent]) -> bytes:
    """A batch as the frontend sends it, after its one letter."""
    end = struct.pack("!i", -1)
    whole = b""
    for identity, headers, parameters in batch:
        whole += field(identity)
        whole += b"".join(field(name) + field(value) for name, value in headers) + end
        whole += b"".join(field(part) for parameter in parameters for part in parameter) + end
    return whole + end


def keeping_all(connection: socket.socket) -> Any:
    return batch_from(connection, most_bytes=10**9)


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
def _put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    monkeypatch.setattr(others, "_retrieve_inference_msg", others._retrieve_inference_msg)
    monkeypatch.setattr(service, "create_predict_response", service.create_predict_response)
    theirs = staticmethod(service.Service.retrieve_data_for_inference)
    monkeypatch.setattr(service.Service, "retrieve_data_for_inference", theirs)


def rows_of(found: tuple[list[Any], Any, Any]) -> Any:
    processors, inputs, ids = found
    return [processor.get_request_properties() for processor in processors], inputs, ids


def each_once(parts: list[tuple[str, str, bytes]]) -> list[tuple[str, str, bytes]]:
    return list({part[0]: part for part in parts}.values())


def test_parts_of_one_name_are_told_from_one_part() -> None:
    twice = [("data", "text/plain", b"a"), ("data", "text/plain", b"b"), ("x", "", b"c")]
    batch: list[Sent] = [("id", [], twice), ("other", [], [*twice, ("data", "", b"d")])]
    assert [parts for _, parts, _ in read(keeping_all, message(batch))] == [
        {"data": Repeated(), "x": b"c"},
        {"data": Repeated(), "x": b"c"},
    ]


@settings(deadline=None)
@given(batch=requests, piece_bytes=st.integers(1, 200))
def test_a_batch_is_read_as_torchserve_reads_it(batch: list[Sent], piece_bytes: int) -> None:
    batch = [(identity, headers, each_once(parts)) for identity, headers, parts in batch]
    sent = message(batch)
    ours = rows_with(RequestProcessor)(read(keeping_all, sent, piece_bytes))
    theirs = read(others._retrieve_inference_msg, sent)
    assert rows_of(ours) == rows_of(service.Service.retrieve_data_for_inference(theirs))


def test_large_bodies_arrive_whole() -> None:
    body = bytes(range(256)) * 20_000
    batch: list[Sent] = [(name, [], [("data", "image/jpeg", body)]) for name in ("one", "another")]
    found = read(keeping_all, message(batch), piece_bytes=100_000)
    assert [(request[0], request[1]["data"] == body) for request in found] == [
        ("one", True),
        ("another", True),
    ]


@settings(deadline=None)
@given(batch=requests, piece_bytes=st.integers(1, 200), most_bytes=st.integers(0, 40))
def test_of_a_part_that_is_too_large_only_the_size_is_kept(
    batch: list[Sent], piece_bytes: int, most_bytes: int
) -> None:
    batch = [(identity, headers, each_once(parts)) for identity, headers, parts in batch]
    sent = message(batch)
    whole = read(keeping_all, sent)
    found = read(partial(batch_from, most_bytes=most_bytes), sent, piece_bytes)
    assert found == [
        (
            identity,
            {name: part if len(part) <= most_bytes else Discarded(len(part)) for name, part in parts.items()},
            headers,
        )
        for identity, parts, headers in whole
    ]


def test_what_is_too_large_takes_no_memory_while_it_arrives() -> None:
    batch: list[Sent] = [(str(n), [], [("data", "text/plain", bytes(10_000_000))]) for n in range(4)]
    sent = message(batch)
    tracemalloc.start()
    try:
        found = read(partial(batch_from, most_bytes=1000), sent, piece_bytes=len(sent))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [parts for _, parts, _ in found] == [{"data": Discarded(10_000_000)}] * 4
    assert peak_bytes < len(sent) + 2_000_000  # the sender's one piece, and three times what is read at once


def test_a_frontend_that_has_gone_ends_the_worker() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\0\0")
    theirs.close()
    with ours, pytest.raises(SystemExit):
        keeping_all(ours)


def a_context(rows: int) -> Any:
    context = Context("m", "folder", {}, rows, None, False, "1.0")
    context.request_ids = {index: f"id-{index}" for index in range(rows)}
    context.request_processor = [RequestProcessor({}) for _ in range(rows)]
    return context


heads = st.tuples(
    st.sampled_from([200, 400, 413]),
    st.sampled_from([None, "", "OK", "Bad Request"]),
    st.dictionaries(names, names),
)


@given(answers=st.lists(st.tuples(bodies, heads), max_size=6), message=names)
def test_answers_are_written_as_torchserve_writes_them(
    answers: list[tuple[bytes, tuple[int, str | None, dict[str, str]]]], message: str
) -> None:
    context = a_context(len(answers))
    for index, (_, (status, phrase, headers)) in enumerate(answers):
        context.request_processor[index].report_status(status, phrase)
        for name, value in headers.items():
            context.set_response_header(index, name, value)
    written = [body for body, _ in answers], context.request_ids, message, 200, context
    assert answers_or(no_other)(*written) == others.create_predict_response(*written)


def no_other(*arguments: Any) -> bytearray:
    raise AssertionError(f"left to TorchServe: {arguments}")


@pytest.mark.parametrize("bodies", [None, ["text"], [{"a": 1}], [b"bytes", "text"]])
def test_what_is_not_all_bytes_is_left_to_torchserve(bodies: Any) -> None:
    context = a_context(len(bodies or [1]))
    written = bodies, context.request_ids, "said", 503, context
    ours = answers_or(others.create_predict_response)
    assert ours(*written) == others.create_predict_response(*written)
    assert ours(*written[:-1]) == others.create_predict_response(*written[:-1])


def test_a_worker_gets_both_through_torchserves_own_entries() -> None:
    assert go_faster(100)
    sent: list[Sent] = [("id", [("Host", "here")], [("body", "text/plain", b"x")])]
    command, batch = read(others.retrieve_msg, b"I" + message(sent))
    assert command == b"I"
    processors, inputs, ids = service.Service.retrieve_data_for_inference(batch)
    assert (inputs, ids) == ([{"body": b"x"}], {0: "id"})
    assert processors[0].get_request_properties() == {"body": {"content-type": "text/plain"}, "Host": "here"}
    assert isinstance(service.create_predict_response([b"x"], ids, "said", 200, a_context(1)), bytes)


def test_nothing_is_decoded_before_it_was_looked_at_whatever_the_frontend_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")  # as every frontend does
    assert go_faster(100)
    assert os.environ["TS_DECODE_INPUT_REQUEST"] == "false"


def test_another_torchserve_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = others._retrieve_inference_msg
    monkeypatch.setattr("ts.__version__", "0.13.0")
    assert not go_faster(100)
    assert others._retrieve_inference_msg is before
