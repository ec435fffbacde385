"""The open loop: its schedule, sending on time, what is counted and from when, and what it does under duress.

The small server shares our interpreter, so the generator is often late here: nothing below looks at that but
where it is late on purpose. Whether latencies are true is tested in integration/test_known_truth.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.load import Body, LoadError, LoadResult, OpenLoop, Pacing, run
from experiments.load.__main__ import app
from experiments.load.alarm import Alarm
from experiments.load.result import result_of
from experiments.load.traffic import Pace, Recording
from tests.experiments.load.test_load import a_free_port
from tests.support.queueing import (
    Stall,
    departures,
    fifo_departures,
    mean_of_md1,
    mean_of_mm1,
    percentile_of_mm1,
)
from tests.support.small_server import Request, always, hang_up, http, never, serving

A_TEXT = Body(b"a text", "text/plain")


def pacing_of(result: LoadResult) -> Pacing:
    assert result.pacing is not None
    return result.pacing


# The schedule.

rates = st.floats(0.5, 5000)
seconds = st.floats(0.01, 2)
arrivals = st.sampled_from(["poisson", "constant"])


@given(rate_rps=rates, duration_s=seconds, warm_up_s=st.floats(0, 1), arrivals=arrivals, seed=st.integers(0))
def test_a_schedule_ascends_to_the_windows_end_and_is_the_seeds_own(
    rate_rps: float, duration_s: float, warm_up_s: float, arrivals: str, seed: int
) -> None:
    load = OpenLoop(rate_rps, duration_s, arrivals, warm_up_s)
    due_s = load.schedule(seed)
    assert (np.diff(due_s) >= 0).all()
    assert ((due_s >= 0) & (due_s < warm_up_s + duration_s)).all()
    assert (due_s == load.schedule(seed)).all()


def test_constant_arrivals_come_evenly_from_the_first_moment_on() -> None:
    due_s = OpenLoop(4, 1.0, "constant", warm_up_s=0.5).schedule(seed=0)
    assert due_s.tolist() == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_have_exponential_gaps_and_independent_counts() -> None:
    due_s = OpenLoop(1000, 200, "poisson").schedule(seed=1)
    gaps_s = np.diff(due_s, prepend=0)
    n = len(gaps_s)
    assert n == pytest.approx(200_000, abs=5 * 200_000**0.5)
    # Of an exponential distribution: mean and standard deviation are equal, and e^-1 exceeds the mean.
    assert gaps_s.mean() == pytest.approx(1e-3, rel=5 / n**0.5)
    assert gaps_s.std() == pytest.approx(1e-3, rel=5 * 2**0.5 / n**0.5)
    assert (gaps_s > 1e-3).mean() == pytest.approx(np.exp(-1), abs=5 * 0.5 / n**0.5)
    counts = np.bincount(due_s.astype(int))
    assert counts.var() == pytest.approx(1000, rel=5 * (2 / len(counts)) ** 0.5)


@pytest.mark.parametrize("kind", ["M/M/1", "M/D/1"])
def test_queueing_theory_holds_for_the_schedule(kind: str) -> None:
    # Half busy: then 200,000 requests give the mean to about 1 %. The server's arithmetic is tested with it.
    due_s = OpenLoop(100, 2000).schedule(seed=4)
    service_s = 0.005
    random_s = np.random.default_rng(5).exponential(service_s, len(due_s))
    services_s = random_s.tolist() if kind == "M/M/1" else [service_s]
    in_system_s = fifo_departures(due_s, services_s) - due_s
    mean_s = (mean_of_mm1 if kind == "M/M/1" else mean_of_md1)(100, service_s)
    assert in_system_s.mean() == pytest.approx(mean_s, rel=0.03)
    if kind == "M/M/1":
        assert np.percentile(in_system_s, 99) == pytest.approx(
            percentile_of_mm1(100, service_s, 99), rel=0.05
        )


def test_lindleys_recursion_is_unrolled_rightly() -> None:
    due_s = OpenLoop(100, 10).schedule(seed=1)
    services_s = np.random.default_rng(2).exponential(0.009, 50).tolist()
    assert fifo_departures(due_s, services_s) == pytest.approx(departures(due_s, services_s))


def test_a_stalled_server_works_outside_its_stalls_only() -> None:
    stall = Stall(period_s=10, length_s=1)
    due_s = np.array([0.0, 8.0, 8.5, 9.5, 18.9])
    assert departures(due_s, [0.25], stall=stall) - due_s == pytest.approx([0.25, 0.25, 0.25, 0.75, 1.25])


def test_another_seed_is_another_poisson_schedule() -> None:
    load = OpenLoop(100, 1, "poisson")
    assert load.schedule(1).tolist() != load.schedule(2).tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate_rps": 0, "duration_s": 1}, "rate of 0"),
        ({"rate_rps": float("inf"), "duration_s": 1}, "rate of inf"),
        ({"rate_rps": 1, "duration_s": 0}, "duration of 0"),
        ({"rate_rps": 1, "duration_s": 1, "warm_up_s": -1}, "warm-up"),
        ({"rate_rps": 1, "duration_s": 1, "arrivals": "bursts"}, "poisson or constant"),
        ({"rate_rps": 1, "duration_s": 1, "max_in_flight": 0}, "at least 1"),
        ({"rate_rps": 1, "duration_s": 1, "most_waiting": 0}, "at least 1"),
    ],
)
def test_a_load_that_measures_nothing_is_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OpenLoop(**arguments)  # type: ignore[arg-type]


# The alarm.


def test_an_alarm_rings_when_it_is_due_and_can_be_set_again() -> None:
    async def ring_three_times() -> list[tuple[float, float]]:
        done = asyncio.Event()
        seen: list[tuple[float, float]] = []
        due_s = [time.perf_counter() + after_s for after_s in (-1.0, 0.01, 0.0123)]

        def ring() -> None:
            seen.append((due_s[len(seen)], time.perf_counter()))
            alarm.set(due_s[len(seen)] if len(seen) < len(due_s) else float("inf"))
            if len(seen) == len(due_s):
                done.set()

        alarm = Alarm(ring)
        alarm.set(due_s[0])
        await done.wait()
        await asyncio.sleep(0.01)  # it would ring again if it were not set to never
        alarm.close()
        return seen

    rung = asyncio.run(ring_three_times())
    assert len(rung) == 3
    assert all(due_s <= rung_s for due_s, rung_s in rung)


# What a recording becomes: pure arithmetic.


def a_recording(due_s: list[float], starts_s: list[float], ends_s: list[float], **other: object) -> Recording:
    """Of a window from 10 to 12 s, whose first requests were sent and answered in their order."""
    pace = Pace(
        due_s=np.array(due_s),
        lateness_s=np.zeros(len(due_s)),
        sent=np.arange(len(due_s)) < len(starts_s),
        numbers=array("l", range(len(ends_s))),
        busy_s=0.5,
    )
    return Recording(
        starts_s=array("d", starts_s),
        ends_s=array("d", ends_s),
        statuses=array("h", [200] * len(ends_s)),
        first_send_s=9.0,
        opens_s=10.0,
        closes_s=12.0,
        pace=pace,
        **other,  # type: ignore[arg-type]
    )


def test_what_counts_is_what_was_due_inside_the_window() -> None:
    result = result_of(a_recording([9.5, 10.0, 11.5, 11.9], [9.5, 10.5, 12, 13], [10.4, 11.0, 12.5, 14.0]))
    assert result.requests == 3
    assert (result.begin_s, result.window_s) == (10.0, 2.0)
    assert pacing_of(result).scheduled_s == pytest.approx([0.0, 1.5, 1.9])
    assert result.start_s == pytest.approx([0.5, 2.0, 3.0])
    assert result.end_s == pytest.approx([1.0, 2.5, 4.0])
    assert result.problems() == []


def test_latency_counts_from_when_a_request_was_due() -> None:
    result = result_of(a_recording([10.0, 10.0], [10.9, 11.4], [11.0, 11.5]))
    assert result.latency_s == pytest.approx([1.0, 1.5])
    assert result.latency_ms(100) == pytest.approx(1500)


def test_throughput_is_what_was_answered_inside_the_window() -> None:
    result = result_of(a_recording([9.0, 10.0, 11.0, 11.9], [9, 10, 11, 11.9], [10.5, 11.0, 11.5, 99.0]))
    assert result.requests == 3
    assert result.throughput_rps == pytest.approx(3 / 2)


def test_requests_that_were_never_sent_make_a_result_invalid() -> None:
    result = result_of(a_recording([10.0, 11.0, 11.5], [10.0], [10.5]))
    assert (pacing_of(result).scheduled, pacing_of(result).sent) == (3, 1)
    assert result.problems() == ["2 of 3 scheduled requests were never sent"]


def a_pacing(lateness_s: list[float], busy: float = 0.5) -> Pacing:
    n = len(lateness_s)
    return Pacing(n, n, n, np.zeros(n), np.array(lateness_s), busy)


def test_one_percent_may_be_late_and_no_more() -> None:
    assert a_pacing([0.0005] * 99 + [0.5]).problems() == []
    (problem,) = a_pacing([0.0005] * 98 + [0.002, 0.5]).problems()
    assert problem.startswith(
        "the generator could not keep up: 2.0% of the requests were more than 1 ms late"
    )
    assert problem.endswith("use more client processes or a lower rate")


def test_a_generator_that_is_always_busy_may_blame_the_server_for_itself() -> None:
    (problem,) = a_pacing([0.0] * 100, busy=0.97).problems()
    assert "it was busy for 97% of the time" in problem


def test_lateness_of_nothing_is_not_a_number() -> None:
    assert np.isnan(a_pacing([]).lateness_ms(99))
    assert a_pacing([]).late == 0


# A server that behaves.


@pytest.mark.thorough
@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_every_scheduled_request_is_sent_and_answered_once(arrivals: str) -> None:
    load = OpenLoop(500, 0.4, arrivals, warm_up_s=0.1)
    with serving(always(http())) as server:
        result = run(server.url, [A_TEXT], load, seed=3)
    due_s = load.schedule(3)
    scheduled = int((due_s >= 0.1).sum())
    assert len(server.requests) == sum(result.statuses.values()) == len(due_s)
    assert pacing_of(result).scheduled == pacing_of(result).sent == result.requests == scheduled
    assert sorted(pacing_of(result).scheduled_s) == pytest.approx(due_s[due_s >= 0.1] - 0.1)
    assert (result.start_s >= pacing_of(result).scheduled_s).all()
    assert (result.end_s > result.start_s).all()
    assert result.window_s == pytest.approx(0.4)
    assert result.lost_connections == 0


def test_the_pool_is_cycled_in_the_order_of_the_schedule() -> None:
    pool = [Body(bytes([number]), "a/b") for number in range(10)]
    with serving(always(http())) as server:
        run(server.url, pool, OpenLoop(200, 0.2, "constant", max_in_flight=1), seed=1)
    bodies = [request.body for request in server.requests]
    assert len(bodies) == 40
    assert sorted(bodies[:10]) == [body.data for body in pool]
    assert bodies == bodies[:10] * 4


@pytest.mark.thorough
def test_requests_wait_for_a_free_connection_and_their_latency_grows() -> None:
    # One at a time takes 20 ms each, but 200 come a second: request n is answered after 20 (n + 1) ms.
    with serving(always(http(), after_s=0.02)) as server:
        result = run(server.url, [A_TEXT], OpenLoop(200, 0.2, "constant", max_in_flight=1))
    numbers = np.arange(40)
    assert server.connections == 1
    assert result.requests == pacing_of(result).sent == 40
    assert (result.latency_s >= 0.02 * (numbers + 1) - numbers / 200 - 0.001).all()
    assert pacing_of(result).answers < 40
    # The server needs four times as long as the window.
    assert result.throughput_rps < 100


@pytest.mark.thorough
def test_waiting_for_the_server_is_not_the_generators_lateness() -> None:
    with serving(always(http(), after_s=0.1)) as server:
        result = run(server.url, [A_TEXT], OpenLoop(50, 0.2, "constant", max_in_flight=1))
    waited_s = result.start_s - pacing_of(result).scheduled_s
    assert waited_s.max() > 0.5
    assert pacing_of(result).lateness_s.max() < waited_s.max()


@pytest.mark.thorough
@pytest.mark.parametrize("processes", [1, 2])
def test_a_window_ends_when_too_many_requests_wait(processes: int) -> None:
    with serving(always(http(), after_s=0.4)) as server:
        load = OpenLoop(200, 20.0, "constant", warm_up_s=0.1, most_waiting=20)
        result = run(server.url, [], load, processes=processes)
    assert result.window_s < 10
    assert result.problems() == [] or "generator" in result.problems()[0]
    assert result.pacing is not None
    assert result.requests == result.pacing.scheduled == result.pacing.sent > 0
    assert result.pacing.scheduled_s.max() < result.window_s


@pytest.mark.thorough
def test_a_window_is_whole_where_few_requests_wait() -> None:
    with serving(always(http())) as server:
        result = run(server.url, [], OpenLoop(100, 0.5, "constant", most_waiting=50))
    assert (result.window_s, result.requests) == (pytest.approx(0.5), 50)


@pytest.mark.thorough
def test_connections_are_opened_on_demand_up_to_the_bound() -> None:
    with serving(always(http(), after_s=0.3)) as server:
        result = run(server.url, [A_TEXT], OpenLoop(400, 0.3, "constant", max_in_flight=80))
    assert result.requests == 120
    assert 64 < server.connections <= 80


def test_a_server_without_keep_alive_gets_new_connections() -> None:
    with serving(hang_up(after=http(200, b"ok", "Connection: close"))) as server:
        result = run(server.url, [A_TEXT], OpenLoop(200, 0.2, "constant", max_in_flight=3))
    assert result.requests == 40
    assert result.lost_connections == 0
    assert server.connections >= 40


@pytest.mark.thorough
def test_an_idle_connection_that_the_server_closed_is_not_a_loss() -> None:
    # Ten connections take turns: each is closed for some 500 ms when its turn comes again.
    with serving(hang_up(after=http())) as server:
        result = run(server.url, [A_TEXT], OpenLoop(20, 1.0, "constant", max_in_flight=10))
    assert result.requests == 20
    assert result.lost_connections == 0
    assert server.connections == 20


# Under duress.


@pytest.mark.thorough
def test_a_generator_that_was_kept_from_its_work_says_so() -> None:
    def dawdle(_: int, __: float) -> None:
        time.sleep(0.05)

    with serving(always(http())) as server:
        result = run(server.url, [A_TEXT], OpenLoop(500, 0.5), progress=dawdle)
    assert pacing_of(result).late > 0.1
    assert pacing_of(result).lateness_ms(100) > 20
    assert "the generator could not keep up" in result.problems()[-1]


@pytest.mark.thorough
def test_errors_are_counted_and_the_load_goes_on() -> None:
    async def sometimes(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(503, b"queue full") if request.number % 10 == 9 else http())

    with serving(sometimes) as server:
        result = run(server.url, [A_TEXT], OpenLoop(100, 0.5, "constant"))
    assert result.statuses == {200: 45, 503: 5}
    assert "5 of 50 answers were no success" in result.problems()[0]


@pytest.mark.thorough
def test_a_server_that_only_fails_stops_the_load_early() -> None:
    with serving(always(http(503, b"no worker"))) as server:
        result = run(server.url, [A_TEXT], OpenLoop(500, 60))
    assert 100 <= result.statuses[503] < 600
    assert "no worker" in result.problems()[0]
    assert result.window_s < 50


@pytest.mark.thorough
def test_no_answer_within_the_timeout_is_a_lost_connection_and_the_others_go_on() -> None:
    async def forget_the_third(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number != 2:
            writer.write(http())

    with serving(forget_the_third) as server:
        result = run(server.url, [A_TEXT], OpenLoop(100, 0.5, "constant"), timeout_s=0.2)
    assert (result.lost_connections, result.requests) == (1, 49)
    assert result.first_error == "no answer within 0.2 s"


@pytest.mark.thorough
def test_waiting_in_the_schedule_ends_with_the_timeout_too() -> None:
    with serving(never) as server:
        result = run(server.url, [A_TEXT], OpenLoop(100, 0.2, "constant", max_in_flight=4), timeout_s=0.3)
    assert result.requests == 0
    assert result.lost_connections >= 4
    assert any("never sent" in problem for problem in result.problems())


def test_a_lost_connection_is_replaced_when_it_is_needed() -> None:
    async def drop_the_third(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 2:
            writer.transport.abort()
        else:
            writer.write(http())

    with serving(drop_the_third) as server:
        result = run(server.url, [A_TEXT], OpenLoop(100, 0.3, "constant", max_in_flight=2))
    assert (result.lost_connections, result.requests) == (1, 29)
    assert server.connections <= 3


def test_a_server_that_dies_ends_the_load() -> None:
    async def serve_once_and_die(_: Request, writer: asyncio.StreamWriter) -> None:
        server.stop_listening()
        writer.write(http(200, b"ok", "Connection: close"))

    with serving(serve_once_and_die) as server:
        result = run(server.url, [A_TEXT], OpenLoop(50, 60, max_in_flight=1))
    assert result.lost_connections >= 1
    assert "a new connection failed" in result.problems()[0]
    assert result.window_s < 50


def test_a_refused_connection_is_one_line_with_cause_and_remedy() -> None:
    with pytest.raises(LoadError, match=r"cannot connect.*refused.*check that the server runs"):
        run(f"http://127.0.0.1:{a_free_port()}/", [A_TEXT], OpenLoop(10, 60))


def test_ctrl_c_stops_it_and_closes_its_sockets() -> None:
    async def interrupt_us(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http())
        if request.number == 3:
            os.kill(os.getpid(), signal.SIGINT)

    threads = threading.active_count()
    with serving(interrupt_us) as server:
        with pytest.raises(KeyboardInterrupt):
            run(server.url, [A_TEXT], OpenLoop(100, 60))
        while server.open_connections:
            time.sleep(0.005)
    assert threading.active_count() == threads


# The program.


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.thorough
def test_the_program_tells_what_was_scheduled_and_how_late_it_was_itself() -> None:
    with serving(always(http())) as server:
        _, out, _ = invoke(
            server.url, "--rate", "100", "--arrivals", "constant", "--duration", "0.5", "--warm-up", "0.1",
            "--connections", "4", "--json",
        )  # fmt: skip
    printed = json.loads(out)
    assert printed["requests"] == 50
    assert printed["connections"] == 4
    assert printed["latency_ms"]["p99"] > 0
    open_loop = printed["open_loop"]
    assert (open_loop["rate_rps"], open_loop["arrivals"]) == (100, "constant")
    assert [open_loop[key] for key in ("scheduled", "sent", "answered")] == [50, 50, 50]
    assert open_loop["lateness_ms"].keys() == {"p50", "p99", "p99.9", "max"}
    assert 0 <= open_loop["late_share"] <= 1
    assert open_loop["busy_share"] > 0


@pytest.mark.thorough
def test_the_programs_table_names_the_rate_and_the_lateness() -> None:
    with serving(always(http())) as server:
        _, out, _ = invoke(server.url, "--rate", "50", "--duration", "0.4", "--warm-up", "0")
    assert "50 requests/s, poisson arrivals" in out
    assert "generator's lateness" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "0"],
        ["--rate", "10", "--requests", "5"],
        ["--rate", "10", "--arrivals", "bursts"],
        ["--rate", "10", "--connections", "0"],
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(arguments: list[str]) -> None:
    code, out, err = invoke("http://127.0.0.1:1/", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
