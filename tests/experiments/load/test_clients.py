"""Several client processes: how a load is dealt out, that merging loses nothing, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from array import array
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.load import Body, ClosedLoop, LoadError, OpenLoop, clients, run
from experiments.load.__main__ import app
from experiments.load.clients import merged
from experiments.load.result import result_of
from experiments.load.traffic import Pace, Part, Recording
from tests.experiments.load.test_load import a_free_port
from tests.support.small_server import Request, SmallServer, always, http, serving

A_TEXT = Body(b"a text", "text/plain")


# Dealing out.

parts = st.integers(1, 9).map(lambda of: [Part(number, of) for number in range(of)])


@given(parts=parts, total=st.integers(0, 1000))
def test_parts_add_up_and_differ_by_one_at_most(parts: list[Part], total: int) -> None:
    shares = [part.split(total) for part in parts]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@given(parts=parts, things=st.lists(st.integers()))
def test_parts_together_have_each_thing_once(parts: list[Part], things: list[int]) -> None:
    dealt = [thing for part in parts for thing in part.deal(things)]
    assert sorted(dealt) == sorted(things)
    assert list(parts[0].deal(things)) == things[:: len(parts)]


# Merging: pure.


def a_part(ends_s: list[float], **other: object) -> Recording:
    """Requests of 0.5 s each."""
    fields: dict[str, object] = {
        "starts_s": array("d", [end_s - 0.5 for end_s in ends_s]),
        "ends_s": array("d", ends_s),
        "statuses": array("h", [200] * len(ends_s)),
        "closes_s": 100.0,
    }
    return Recording(**(fields | other))  # type: ignore[arg-type]


times = st.lists(st.floats(0, 100), max_size=20).map(sorted)


@given(ends=st.lists(times, min_size=1, max_size=4))
def test_a_merged_recording_has_every_answer_in_order(ends: list[list[float]]) -> None:
    whole = merged([a_part(ends_s) for ends_s in ends])
    assert whole.ends_s.tolist() == sorted(end_s for part in ends for end_s in part)
    assert np.subtract(whole.ends_s, whole.starts_s) == pytest.approx(0.5)
    assert len(whole.statuses) == len(whole.ends_s)


def test_percentiles_are_those_of_all_samples_not_of_the_parts_percentiles() -> None:
    fast = a_part([1.0 + n / 1000 for n in range(99)])
    slow = a_part([2.0], starts_s=array("d", [0.0]))
    assert result_of(merged([fast, slow])).latency_ms(50) == pytest.approx(500)
    assert result_of(merged([fast, slow])).latency_ms(100) == pytest.approx(2000)


def test_what_counts_is_the_time_in_which_all_parts_counted() -> None:
    first = a_part([1.0], first_send_s=0.5, opens_s=1.0, closes_s=5.0, cpu_s=0.25)
    second = a_part([1.5], first_send_s=0.6, opens_s=1.1, closes_s=5.5, cpu_s=0.5, first_error="503")
    whole = merged([first, second])
    assert (whole.first_send_s, whole.opens_s, whole.closes_s) == (0.5, 1.1, 5.0)
    assert (whole.cpu_s, whole.first_error) == (0.75, "503")


@given(
    gaps_s=st.lists(st.floats(0.001, 1), min_size=1, max_size=30),
    of=st.integers(1, 4),
    delays_s=st.randoms(use_true_random=False),
)
def test_schedules_dealt_out_and_merged_are_whole_again(
    gaps_s: list[float], of: int, delays_s: object
) -> None:
    due_s = np.cumsum(gaps_s)
    rng = np.random.default_rng(delays_s.randrange(1000))  # type: ignore[attr-defined]
    recordings = []
    for number in range(of):
        its = due_s[number::of]
        latency_s = rng.exponential(1.0, len(its))
        order = np.argsort(its + latency_s)
        pace = Pace(its, its / 1000, np.ones(len(its), dtype=bool), array("l", order.tolist()), float(number))
        ends_s = (its + latency_s)[order]
        recordings.append(a_part(ends_s.tolist(), starts_s=array("d", its[order]), pace=pace))
    whole = merged(recordings)
    assert whole.pace is not None
    assert whole.pace.due_s.tolist() == due_s.tolist()
    assert whole.pace.lateness_s == pytest.approx(due_s / 1000)
    assert whole.pace.busy_s == of - 1
    # Each answer is still with its own request, which was sent when it was due.
    assert due_s[np.array(whole.pace.numbers, dtype=int)].tolist() == list(whole.starts_s)


@pytest.mark.parametrize("paced", [True, False])
def test_a_recording_goes_from_process_to_process_unchanged(paced: bool) -> None:
    pace = Pace(np.array([0.5, 1.5]), np.array([0.1, np.nan]), np.array([True, False]), array("l", [0]), 0.25)
    recording = a_part([1.0], lost_connections=2, first_error="x", pace=pace if paced else None)
    message, blobs = clients._message_from(recording, [])
    received = clients._recording_from(json.loads(json.dumps(message)), blobs, [])
    assert received.ends_s == recording.ends_s
    assert (received.lost_connections, received.first_error, received.closes_s) == (2, "x", 100.0)
    assert (received.pace is not None) == paced
    if received.pace is not None:
        assert received.pace.numbers == pace.numbers
        assert received.pace.lateness_s.tolist()[0] == 0.1
        assert received.pace.sent.tolist() == [True, False]


# Real processes.


@pytest.mark.thorough
def test_a_closed_loop_from_two_processes_has_all_its_connections() -> None:
    with serving(always(http(), after_s=0.01)) as server:
        result = run(server.url, [A_TEXT], ClosedLoop(5, duration_s=0.3, warm_up_s=0.1), processes=2)
    assert result.problems() == []
    assert server.connections == 5
    assert sum(result.statuses.values()) == len(server.requests)
    assert 0 < result.requests < len(server.requests)
    assert (np.diff(result.end_s) >= 0).all()
    assert result.client_cpu_s > 0


@pytest.mark.thorough
def test_an_open_loop_from_three_processes_keeps_the_schedule_of_one() -> None:
    load = OpenLoop(200, 0.4, warm_up_s=0.1, max_in_flight=7)
    with serving(always(http())) as server:
        result = run(server.url, [A_TEXT], load, seed=5, processes=3)
    due_s = load.schedule(5)
    assert result.pacing is not None
    assert server.connections == 7
    assert len(server.requests) == len(due_s)
    assert sorted(result.pacing.scheduled_s) == pytest.approx(due_s[due_s >= 0.1] - 0.1)
    assert (result.start_s >= result.pacing.scheduled_s).all()


@pytest.mark.thorough
def test_the_pool_is_sent_in_equal_parts_by_all_processes_together() -> None:
    pool = [Body(bytes([number]), "a/b") for number in range(10)]
    with serving(always(http())) as server:
        run(server.url, pool, OpenLoop(200, 0.2, "constant"), processes=2)
    assert sorted(request.body for request in server.requests) == sorted(body.data for body in pool * 4)


@pytest.mark.thorough
def test_progress_tells_the_answers_of_all_processes() -> None:
    seen: list[tuple[int, float]] = []
    load = ClosedLoop(2, duration_s=0.6)
    with serving(always(http(), after_s=0.01)) as server:
        run(server.url, [], load, processes=2, progress=lambda n, s: seen.append((n, s)))
    assert seen == sorted(seen)
    assert seen[-1][0] > 0


@pytest.mark.parametrize(
    ("load", "processes", "words"),
    [
        (ClosedLoop(4, duration_s=1), 0, "at least 1"),
        (ClosedLoop(4, requests=10), 2, "give a duration"),
        (ClosedLoop(2, duration_s=1), 3, "too few"),
        (OpenLoop(100, 1, max_in_flight=2), 3, "too few"),
    ],
)
def test_a_load_that_cannot_be_dealt_out_is_refused(
    load: ClosedLoop | OpenLoop, processes: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run("http://127.0.0.1:1/", [], load, processes=processes)


@pytest.mark.thorough
def test_an_unreachable_server_is_told_as_by_one_process() -> None:
    with pytest.raises(LoadError, match=r"cannot connect.*refused.*check that the server runs"):
        run(f"http://127.0.0.1:{a_free_port()}/", [], ClosedLoop(2, duration_s=60), processes=2)
    assert_no_clients_left()


def our_clients() -> Iterator[psutil.Process]:
    for child in psutil.Process().children(recursive=True):
        if "experiments.load.clients" in child.cmdline():
            yield child


def assert_no_clients_left() -> None:
    assert list(our_clients()) == []


@pytest.mark.thorough
def test_a_client_that_dies_ends_the_load_and_the_other_clients() -> None:
    async def kill_one(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 5:
            next(our_clients()).kill()
        writer.write(http())

    with serving(kill_one) as server:
        with pytest.raises(LoadError, match="a client process ended before the load did: killed by signal 9"):
            run(server.url, [], ClosedLoop(2, duration_s=60), processes=2)
        wait_until_closed(server)
    assert_no_clients_left()


@pytest.mark.thorough
def test_ctrl_c_ends_all_processes() -> None:
    async def interrupt_us(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 5:
            os.kill(os.getpid(), signal.SIGINT)
        writer.write(http())

    with serving(interrupt_us) as server:
        with pytest.raises(KeyboardInterrupt):
            run(server.url, [], ClosedLoop(2, duration_s=60), processes=2)
        wait_until_closed(server)
    assert_no_clients_left()


def wait_until_closed(server: SmallServer) -> None:
    while server.open_connections:
        time.sleep(0.005)


@pytest.mark.thorough
def test_the_program_shares_a_load_between_processes() -> None:
    with serving(always(http(), after_s=0.01)) as server:
        arguments = [server.url, "--processes", "2", "--connections", "4", "--duration", "0.3", "--json"]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["connections"] == server.connections == 4
