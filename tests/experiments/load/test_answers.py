"""Every legal way to frame an HTTP answer counts, however its bytes arrive; what is cut off is lost."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.load import ClosedLoop, OpenLoop, run
from experiments.load.wire import Connection, ends_with_connection
from tests.support.small_server import Request, always, hang_up, http, serving

OLD = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nwithout a length"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
STAYING = {
    "with a length": http(),
    "chunked": CHUNKED,
    "after interim answers": INTERIM + http(),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx",
}
ENDING = {
    "of HTTP/1.0": OLD,
    "empty": b"HTTP/1.0 200 OK\r\n\r\n",
    "of HTTP/1.1": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
    "that says nothing": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "coded but not chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "after an interim answer": INTERIM + OLD,
    "with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "that closes": http(200, b"ok", "Connection: close"),
    "chunked": CHUNKED.replace(b"Transfer", b"Connection: close\r\nTransfer"),
    "204": b"HTTP/1.0 204 No Content\r\n\r\n",
}
CUT_OFF = {
    "no byte": b"",
    "in the head": OLD[:30],
    "after an interim answer": INTERIM,
    "in a body of known length": http(200, b"ok", "Connection: close")[:-1],
    "before the last chunk": CHUNKED[:-12],
}


@pytest.mark.parametrize("name", STAYING)
def test_an_answer_after_which_the_connection_stays_counts(name: str) -> None:
    with serving(always(STAYING[name])) as server:
        result = run(server.url, [], ClosedLoop(2, requests=20))
    assert (result.requests, result.problems(), server.connections) == (20, [], 2)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "load", [ClosedLoop(3, requests=30), OpenLoop(100, 0.3, "constant", 0, 4)], ids=["closed", "open"]
)
@pytest.mark.parametrize("name", ENDING)
def test_an_answer_that_ends_the_connection_counts(name: str, load: ClosedLoop | OpenLoop) -> None:
    with serving(hang_up(ENDING[name])) as server:
        result = run(server.url, [], load)
    assert (result.requests, result.lost_connections) == (30, 0)
    assert set(result.statuses) <= {200, 204}
    assert server.connections >= 30


@pytest.mark.parametrize("name", CUT_OFF)
def test_an_answer_that_is_cut_off_is_lost(name: str) -> None:
    with serving(hang_up(CUT_OFF[name])) as server:
        result = run(server.url, [], ClosedLoop(1, duration_s=0.2))
    assert (result.requests, result.lost_connections) == (0, 1)


def test_a_server_may_close_every_few_answers_if_it_says_so() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        last = request.number % 5 == 4
        writer.write(http(200, b"ok", *(["Connection: close"] if last else [])))
        if last:
            writer.close()

    with serving(answer) as server:
        result = run(server.url, [], ClosedLoop(1, requests=50))
    assert (result.requests, result.problems(), server.connections) == (50, [], 10)


def test_an_error_without_a_length_is_told_with_its_text() -> None:
    with serving(hang_up(b"HTTP/1.0 503 Busy\r\n\r\ncome later")) as server:
        result = run(server.url, [], ClosedLoop(1, requests=1))
    assert result.statuses == {503: 1}
    assert result.first_error == "503 Service Unavailable: come later"


class Pipe:
    """Stands in for the transport of a connection that is fed by hand."""

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return self

    def setsockopt(self, *option: int) -> None: ...


@settings(deadline=None)
@given(data=st.data())
def test_where_an_answer_is_split_makes_no_difference(data: st.DataObject) -> None:
    ending = data.draw(st.booleans())
    answer = data.draw(st.sampled_from(list((ENDING if ending else STAYING).values())))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    heard: list[tuple[str, object]] = []
    connection = Connection(
        lambda _, sent_s, answered_s, status: heard.append(("answer", status // 100)),
        lambda _, reason: heard.append(("lost", reason)),
    )
    connection.connection_made(Pipe())  # type: ignore[arg-type]
    connection.send(b"", 1.0)
    for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        connection.data_received(answer[begin:end])
    if ending:
        connection.connection_lost(None)
    assert heard == [("answer", 2)]
    assert connection.keep_alive != ending


@given(st.binary())
def test_bytes_of_any_kind_are_no_answer_without_a_head(begun: bytes) -> None:
    assert not ends_with_connection(begun) or begun.startswith(b"HTTP/1.")
