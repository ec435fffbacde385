"""The answers that a load keeps: each different one once, with how often it came, whoever received it."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.load import Body, ClosedLoop, OpenLoop, kept, run
from experiments.load.kept import Kept, by_number, heard, together, told
from tests.support.small_server import Request, http, serving

POOL = [Body(f"text {number}".encode(), "text/plain") for number in range(3)]
REQUESTS = [b"a", b"b", b"c"]
ADDED = st.lists(st.tuples(st.sampled_from(REQUESTS), st.binary(max_size=4)))


async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(http(200, request.body.upper()))


@pytest.mark.thorough
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "load",
    [ClosedLoop(4, duration_s=0.2, warm_up_s=0.1), OpenLoop(100, 0.3, warm_up_s=0.1)],
    ids=["closed", "open"],
)
def test_every_answer_is_kept_with_its_body(load: ClosedLoop | OpenLoop, processes: int) -> None:
    with serving(echo) as server:
        found = run(server.url, POOL, load, seed=3, processes=processes, keep_answers=True)
    assert found.answers is not None
    assert list(found.answers.of) == [0, 1, 2]
    for number, answers in found.answers.of.items():
        assert list(answers) == [f"TEXT {number}".encode()]
    counted = sum(count for answers in found.answers.of.values() for count in answers.values())
    assert counted == found.statuses[200]


def test_without_being_asked_it_keeps_nothing() -> None:
    with serving(echo) as server:
        assert run(server.url, POOL, ClosedLoop(1, requests=3)).answers is None


def test_an_answer_in_pieces_is_whole_and_an_error_is_none() -> None:
    pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    answers = itertools.cycle([pieces, http(500, b"broken")])

    async def in_turns(_: Request, writer: asyncio.StreamWriter) -> None:
        for byte in next(answers):
            writer.write(bytes([byte]))

    with serving(in_turns) as server:
        found = run(server.url, POOL[:1], ClosedLoop(1, requests=4), keep_answers=True)
    assert found.answers is not None
    assert found.answers.of == {0: {b"abcde": 2}}
    assert found.first_error == "500 Internal Server Error: broken"


def test_what_has_no_room_is_counted_but_every_request_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 10)
    few = Kept(room_bytes=kept.MOST_BYTES)
    for number in range(9):
        few.add(b"a", b"answer %d" % number)
        few.add(b"a", b"answer 0")
    few.add(b"b", b"a long answer to it")
    assert few.of == {b"a": {b"answer 0": 10}, b"b": {b"a long answer to it": 1}}
    assert few.unkept == 8


@given(parts=st.lists(ADDED, max_size=3))
def test_parts_told_between_processes_add_up(parts: list[list[tuple[bytes, bytes]]]) -> None:
    received = []
    whole = Kept()
    for part in parts:
        own = Kept()
        for request, answer in part:
            own.add(request, answer)
            whole.add(request, answer)
        received.append(heard(*told(own, REQUESTS), own.unkept, REQUESTS))
    assert by_number(together(received), REQUESTS) == by_number(whole, REQUESTS)
