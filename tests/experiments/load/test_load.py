"""The load generator: what it sends, what it counts, and that nothing that goes wrong looks like a result."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import FrameType

import httptools
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.load import Body, ClosedLoop, LoadError, LoadResult, run, snap_window
from experiments.load.__main__ import app
from experiments.load.before.request import render_request
from experiments.load.before.target import parse_target
from tests.support.small_server import Request, SmallServer, always, hang_up, http, in_batches, never, serving

A_TEXT = Body(b"a text", "text/plain")


def a_result(
    starts_s: list[float], ends_s: list[float], window_s: float = 1.0, **other: object
) -> LoadResult:
    fields: dict[str, object] = {
        "start_s": np.array(starts_s),
        "end_s": np.array(ends_s),
        "status": np.full(len(ends_s), 200, dtype=np.int16),
        "begin_s": 0.0,
        "window_s": window_s,
        "statuses": {200: len(ends_s)} if ends_s else {},
        "lost_connections": 0,
        "first_error": None,
        "client_cpu_s": 0.0,
    }
    return LoadResult(**(fields | other))  # type: ignore[arg-type]


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The window: pure arithmetic on completion times.

moments = st.floats(min_value=0, max_value=10)


@given(ends=st.lists(moments, max_size=50).map(sorted), edges=st.tuples(moments, moments).map(sorted))
def test_a_window_holds_the_answers_between_its_edges(ends: list[float], edges: list[float]) -> None:
    window = snap_window(np.array(ends), 0.0, *edges)
    assert window.stop - window.first == sum(edges[0] < end <= edges[1] for end in ends)
    if window.stop > window.first:
        assert window.begin_s in (0.0, *ends)
        assert window.begin_s <= edges[0]
        assert window.end_s == ends[window.stop - 1] <= edges[1]
    else:
        assert window.begin_s == window.end_s


@given(batch=st.integers(1, 64), period_s=st.floats(0.01, 0.5), edges=st.tuples(moments, moments).map(sorted))
def test_a_server_that_answers_in_batches_gets_its_exact_throughput(
    batch: int, period_s: float, edges: list[float]
) -> None:
    ends = np.repeat(np.arange(1, int(12 / period_s)) * period_s, batch)
    window = snap_window(ends, 0.0, *edges)
    assume(window.stop > window.first)
    throughput = (window.stop - window.first) / (window.end_s - window.begin_s)
    assert throughput == pytest.approx(batch / period_s)


def test_without_a_warm_up_the_window_begins_with_the_first_send() -> None:
    window = snap_window(np.array([5.5, 6.0]), 5.0, 5.0, 7.0)
    assert (window.begin_s, window.end_s, window.first, window.stop) == (5.0, 6.0, 0, 2)


# The result's figures and verdict.


@given(latencies=st.lists(st.floats(0, 100), min_size=1), p=st.floats(0, 100), q=st.floats(0, 100))
def test_percentiles_lie_within_the_samples_and_in_order(latencies: list[float], p: float, q: float) -> None:
    result = a_result([0.0] * len(latencies), latencies)
    low, high = sorted([p, q])
    assert result.latency_ms(low) <= result.latency_ms(high) * (1 + 1e-12)
    assert result.latency_ms(0) == pytest.approx(min(latencies) * 1e3)
    assert result.latency_ms(100) == pytest.approx(max(latencies) * 1e3)


def test_latency_is_end_minus_start_in_milliseconds() -> None:
    assert a_result([-0.5, 0.0, 0.25], [0.5, 0.5, 1.0]).latency_ms(50) == pytest.approx(750)


def test_throughput_and_cpu_are_those_of_the_window() -> None:
    result = a_result([0.0] * 4, [1.0] * 4, window_s=2.0, client_cpu_s=0.001)
    assert result.throughput_rps == 2.0
    assert result.cpu_us_per_request == pytest.approx(250)


def test_a_result_without_answers_has_no_figures_and_is_invalid() -> None:
    result = a_result([], [], window_s=0.0)
    assert result.throughput_rps == 0
    assert np.isnan(result.latency_ms(50))
    assert result.problems() == ["no request was answered inside the measured window: measure longer"]


def test_a_window_that_holds_less_than_a_batch_is_no_result() -> None:
    """The answers of one batch came within milliseconds, and no other batch: that is no rate."""
    result = a_result([0.0] * 3, [0.001, 0.002, 0.003], window_s=0.003, asked_s=2.0)
    (problem,) = result.problems()
    assert "answers came in 0.003 of 2 s only" in problem
    assert a_result([0.0] * 3, [1.0, 1.5, 1.9], window_s=1.9, asked_s=2.0).problems() == []


def test_an_error_makes_a_result_invalid_even_outside_the_window() -> None:
    result = a_result(
        [0.0], [1.0], statuses={200: 9, 503: 1}, first_error="503 Service Unavailable: queue full"
    )
    (problem,) = result.problems()
    assert "1 of 10 answers were no success (9 x 200, 1 x 503)" in problem
    assert "queue full" in problem


# What is asked for.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"connections": 0, "duration_s": 1}, "at least 1"),
        ({"connections": 1}, "either a duration or a number"),
        ({"connections": 1, "duration_s": 1, "requests": 1}, "either a duration or a number"),
        ({"connections": 1, "duration_s": 0}, "more than 0"),
        ({"connections": 1, "duration_s": float("nan")}, "more than 0"),
        ({"connections": 1, "requests": 0}, "at least 1"),
        ({"connections": 1, "requests": 1, "warm_up_s": -1}, "warm-up"),
    ],
)
def test_a_load_that_measures_nothing_is_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClosedLoop(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://h/", "http://", "http://h:99999/", "http://h:0/", "http://u:p@h/"]
)
def test_a_url_that_cannot_be_loaded_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|user name|port"):
        parse_target(url)


def test_a_url_becomes_an_address_and_a_request_line() -> None:
    target = parse_target("http://[::1]:81/a b?c=ü")
    assert (target.host, target.port, target.path) == ("::1", 81, "/a%20b?c=%C3%BC")
    assert parse_target("http://h").path == "/"


class Parsed:
    """Collects what a server would read."""

    def __init__(self, data: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.complete = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(data=st.binary(), value=values)
def test_a_server_reads_back_what_was_rendered(data: bytes, value: str) -> None:
    target = parse_target("http://127.0.0.1:8080/predict")
    parsed = Parsed(render_request(target, Body(data, "image/png"), {"X-Key": value, "content-TYPE": "a/b"}))
    assert parsed.complete
    assert parsed.body == data
    assert parsed.headers[b"x-key"] == value.encode()
    assert parsed.headers[b"content-type"] == b"a/b"
    assert parsed.headers[b"host"] == b"127.0.0.1:8080"
    assert parsed.parser.should_keep_alive()


@pytest.mark.parametrize("header", [{"A b": "c"}, {"A": "b\r\nC: d"}, {"A": "ü"}, {"Content-Length": "3"}])
def test_a_header_that_would_break_the_request_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        render_request(parse_target("http://h/"), None, header)


# A server that behaves.


def test_a_request_count_is_counted_exactly() -> None:
    with serving(always(http())) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(4, requests=100))
    assert result.requests == len(result.start_s) == len(result.status) == 100
    assert result.problems() == []
    assert result.throughput_rps == pytest.approx(100 / result.window_s)
    assert result.window_s == result.end_s[-1]
    assert (result.end_s > result.start_s).all()
    # Concurrency stays whole to the end, so the other connections' last requests come on top.
    assert sum(result.statuses.values()) == len(server.requests) == 103


def test_requests_arrive_as_given() -> None:
    with serving(always(http())) as server:
        run(server.url, [A_TEXT], ClosedLoop(1, requests=1), headers={"Authorization": "Bearer x"})
    (request,) = server.requests
    assert request.line == "POST /predict?top=1 HTTP/1.1"
    assert request.body == b"a text"
    assert request.headers["content-type"] == "text/plain"
    assert request.headers["authorization"] == "Bearer x"


def test_an_empty_pool_sends_gets() -> None:
    with serving(always(http())) as server:
        assert run(server.url, [], ClosedLoop(1, requests=1)).problems() == []
    assert server.requests[0].line.startswith("GET ")


def test_the_pool_is_cycled_in_an_order_that_only_the_seed_decides() -> None:
    pool = [Body(bytes([number]), "a/b") for number in range(10)]

    def order(seed: int) -> list[bytes]:
        with serving(always(http())) as server:
            run(server.url, pool, ClosedLoop(1, requests=20), seed=seed)
        return [request.body for request in server.requests]

    assert order(1) == order(1) != order(2)
    assert order(1)[:10] == order(1)[10:]
    assert sorted(order(1)[:10]) == [body.data for body in pool]


def test_a_warm_up_flows_into_the_window_and_is_not_counted() -> None:
    with serving(always(http(), after_s=0.001)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(2, requests=50, warm_up_requests=20))
    assert result.requests == 50
    assert len(server.requests) >= 50 + 20
    assert server.connections == 2
    # Some request was under way when the window began: the load had no gap.
    assert result.start_s.min() <= 0 < result.end_s.min()


@pytest.mark.thorough
def test_a_warm_up_waits_for_a_slow_first_answer() -> None:
    with serving(always(http(), after_s=0.2)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, requests=1, warm_up_s=0.01))
    assert result.requests == 1
    assert len(server.requests) >= 2


@pytest.mark.thorough
def test_a_duration_ends_with_the_last_answer_inside_it() -> None:
    with serving(in_batches(8, every_s=0.02)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(16, duration_s=0.3, warm_up_s=0.05))
    assert result.problems() == []
    assert result.end_s[-1] == result.window_s
    assert sum(result.statuses.values()) == len(server.requests)


def test_the_server_is_idle_when_run_returns() -> None:
    with serving(always(http(), after_s=0.1)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(8, duration_s=0.25))
        assert sum(result.statuses.values()) == len(server.requests)
    assert result.requests < len(server.requests)


@pytest.mark.thorough
def test_a_window_shorter_than_one_answer_is_no_result() -> None:
    with serving(always(http(), after_s=0.3)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, duration_s=0.05))
    assert result.statuses == {200: 1}
    assert result.problems() == ["no request was answered inside the measured window: measure longer"]


def test_progress_tells_answers_and_seconds() -> None:
    seen: list[tuple[int, float]] = []
    with serving(always(http(), after_s=0.01)) as server:
        run(server.url, [A_TEXT], ClosedLoop(1, duration_s=0.3), progress=lambda n, s: seen.append((n, s)))
    assert seen
    assert seen == sorted(seen)


def test_a_load_runs_outside_the_main_thread_too() -> None:
    results = []
    with serving(always(http())) as server:
        load = ClosedLoop(1, requests=5)
        thread = threading.Thread(target=lambda: results.append(run(server.url, [], load)))
        thread.start()
        thread.join()
    assert results[0].requests == 5


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + http()
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize("answer", [CHUNKED, INTERIM, EMPTY, http(201, b"x" * 300_000)])
def test_every_kind_of_complete_answer_counts_once(answer: bytes) -> None:
    with serving(always(answer)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(2, requests=20))
    assert result.problems() == []
    assert sum(result.statuses.values()) == len(server.requests)


def test_an_answer_in_single_bytes_counts_once() -> None:
    async def dribble(_: Request, writer: asyncio.StreamWriter) -> None:
        for byte in http():
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    with serving(dribble) as server:
        assert run(server.url, [A_TEXT], ClosedLoop(2, requests=6)).problems() == []


def test_a_large_body_arrives_whole() -> None:
    body = Body(bytes(range(256)) * 10_000, "image/jpeg")
    with serving(always(http())) as server:
        run(server.url, [body], ClosedLoop(2, requests=4))
    assert all(request.body == body.data for request in server.requests)


def test_an_announced_close_is_followed_by_a_new_connection() -> None:
    with serving(hang_up(after=http(200, b"ok", "Connection: close"))) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(3, requests=30))
    assert result.problems() == []
    assert result.lost_connections == 0
    assert server.connections >= 30


# A server that doesn't.


def test_errors_are_counted_and_the_load_goes_on() -> None:
    async def sometimes(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(503, b'{"message": "queue\nfull"}') if request.number % 10 == 9 else http())

    with serving(sometimes) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, requests=50))
    assert result.statuses == {200: 45, 503: 5}
    assert result.first_error == '503 Service Unavailable: {"message": "queue full"}'
    assert list(result.status).count(503) == 5
    assert len(result.problems()) == 1


def test_an_error_during_the_warm_up_is_not_hidden() -> None:
    async def first_fails(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(500, b"cold") if request.number == 0 else http())

    with serving(first_fails) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, requests=5, warm_up_requests=5))
    assert set(result.status) == {200}
    assert "500 Internal Server Error: cold" in result.problems()[0]


def test_a_server_that_only_fails_stops_the_load_early() -> None:
    with serving(always(http(503, b"no worker"))) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(4, duration_s=60))
    assert 100 <= result.statuses[503] < 110
    assert "no worker" in result.problems()[0]


def test_a_long_error_is_shortened() -> None:
    with serving(always(http(500, b"x" * 100_000))) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, requests=1))
    assert result.first_error is not None
    assert len(result.first_error) < 350


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "before a complete answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "before a complete answer"),
        (http(200, b"whole")[:-1], "before a complete answer"),
        (CHUNKED[:-5], "before a complete answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP/1.1 answer"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "no HTTP/1.1 answer"),
    ],
)
def test_a_connection_that_ends_too_soon_is_lost(sent: bytes, reason: str) -> None:
    with serving(hang_up(after=sent)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(3, duration_s=60))
    assert result.lost_connections == 3
    assert result.requests == 0
    assert reason in result.problems()[0]
    assert len(server.requests) == 3


def test_one_lost_connection_does_not_stop_the_others() -> None:
    async def drop_the_third(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 2:
            writer.transport.abort()
        else:
            writer.write(http())

    with serving(drop_the_third) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(4, requests=50))
    assert result.requests == 50
    assert result.lost_connections == 1
    assert "1 connections were lost" in result.problems()[0]


def test_no_answer_within_the_timeout_is_a_lost_connection() -> None:
    with serving(never) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(2, duration_s=60), timeout_s=0.2)
    assert result.lost_connections == 2
    assert result.first_error == "no answer within 0.2 s"


@pytest.mark.thorough
def test_waiting_for_the_last_answers_is_bounded_too() -> None:
    async def stall(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number < 10:
            writer.write(http())

    with serving(stall) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(2, requests=10), timeout_s=1)
    assert result.requests == 10
    assert result.lost_connections == 1


def test_a_refused_connection_is_one_line_with_cause_and_remedy() -> None:
    url = f"http://127.0.0.1:{a_free_port()}/"
    with pytest.raises(LoadError, match=r"cannot connect.*refused.*check that the server runs") as caught:
        run(url, [A_TEXT], ClosedLoop(8, duration_s=60))
    assert "\n" not in str(caught.value)


def test_a_server_that_dies_between_two_connections_ends_the_load() -> None:
    async def serve_once_and_die(_: Request, writer: asyncio.StreamWriter) -> None:
        server.stop_listening()  # before the answer: the next connection may follow at once
        writer.write(http(200, b"ok", "Connection: close"))

    with serving(serve_once_and_die) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(1, duration_s=60))
    assert result.lost_connections == 1
    assert "a new connection failed" in result.problems()[0]


# Signals.


class StopRequested(BaseException):
    """What a program's own handler raises."""


def raise_stop(_: int, __: FrameType | None) -> None:
    raise StopRequested


def wait_until_closed(server: SmallServer) -> None:
    while server.open_connections:
        time.sleep(0.005)


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize(
    ("number", "handler", "error"),
    [
        (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
        (signal.SIGINT, raise_stop, StopRequested),
        (signal.SIGTERM, raise_stop, StopRequested),
    ],
)
def test_a_signal_stops_the_load_closes_its_sockets_and_then_reaches_its_handler(
    busy: bool, number: signal.Signals, handler: signal._HANDLER, error: type[BaseException]
) -> None:
    async def signal_us(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 3:
            os.kill(os.getpid(), number)
        if busy:
            writer.write(http())

    before = signal.signal(number, handler)
    try:
        with serving(signal_us) as server:
            with pytest.raises(error):
                run(server.url, [A_TEXT], ClosedLoop(4, duration_s=60))
            wait_until_closed(server)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


# The program.


def invoke(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_program_prints_one_json_object(tmp_path: Path) -> None:
    body = tmp_path / "text.txt"
    body.write_text("hello")
    with serving(always(http())) as server:
        code, out, err = invoke(
            server.url, "--connections", "2", "--requests", "20", "--warm-up", "0", "--body", body,
            "--content-type", "text/plain", "--header", "X-Key: a:b", "--json",
        )  # fmt: skip
    printed = json.loads(out)
    assert (code, err) == (0, "")
    assert printed["valid"] is True
    assert printed["requests"] == 20
    assert printed["connections"] == 2
    assert printed["statuses"] == {"200": 21}
    assert printed["throughput_rps"] > 0
    assert printed["cpu_us_per_request"] > 0
    assert printed["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert server.requests[0].body == b"hello"
    assert server.requests[0].headers["x-key"] == "a:b"
    assert server.requests[0].headers["content-type"] == "text/plain"


def test_the_program_prints_a_table_for_people() -> None:
    with serving(always(http())) as server:
        code, out, _ = invoke(server.url, "--requests", "20", "--warm-up", "0")
    assert code == 0
    assert "requests/s" in out
    assert "latency p99" in out


def test_an_invalid_result_is_printed_and_exits_with_1() -> None:
    with serving(always(http(503, b"no worker"))) as server:
        code, out, err = invoke(server.url, "--json")
    assert code == 1
    assert json.loads(out)["valid"] is False
    assert err.startswith("invalid: ")
    assert "no worker" in err


def test_an_unreachable_server_exits_with_1_and_one_line() -> None:
    code, out, err = invoke(f"http://127.0.0.1:{a_free_port()}/", "--json")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "check that the server runs" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["http://h/", "--connections", "0"],
        ["http://h/", "--duration", "1", "--requests", "1"],
        ["http://h/", "--header", "no colon"],
        ["http://h/", "--body", "/does/not/exist"],
        ["http://h/", "--timeout", "0"],
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(arguments: list[str]) -> None:
    code, out, err = invoke(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_help_teaches_with_an_example() -> None:
    code, out, _ = invoke("--help")
    assert code == 0
    assert "python -m experiments.load http://127.0.0.1:8000/" in out
