"""Looks: what is sent for each, and that their figures are those of the latencies, in their units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from experiments.load import ClosedLoop, LoadResult, OpenLoop
from experiments.load.goodput import NoGoodputError
from experiments.load.goodput.looks import Looks
from experiments.plan import Slo
from tests.support.simulated_server import BatchServer, Simulated

P99_100MS = Slo(99, 100)
SERVER = BatchServer(workers=2, most=8, base_s=0.02, each_s=0.006, jitter=0.2)
CONSTANT = BatchServer(most=1, base_s=0.02, each_s=0.0, jitter=0.0)  # 20 ms, always

Load = ClosedLoop | OpenLoop


class Watched(Simulated):
    """Keeps what was sent, and what came back."""

    def __init__(self, server: BatchServer) -> None:
        super().__init__(server)
        self.sent: list[tuple[Load, LoadResult]] = []

    def send(self, load: Load, seed: int) -> LoadResult:
        result = Simulated.send(self, load, seed)
        self.sent.append((load, result))
        return result


def looks_at(server: BatchServer, slo: Slo = P99_100MS, max_in_flight: int = 512) -> tuple[Looks, Watched]:
    watched = Watched(server)
    looks = Looks(watched.send, slo, "poisson", max_in_flight, 30.0, count(), lambda result: None)
    return looks, watched


@pytest.mark.parametrize("slo", [Slo(99, 100), Slo(50, 40), Slo(95, 2000)])
def test_the_latency_of_a_look_is_the_bounds_percentile_in_ms(slo: Slo) -> None:
    looks, watched = looks_at(SERVER, slo)
    probe = looks.at(150, 5.0)
    ((_, result),) = watched.sent
    assert result.pacing is not None
    latencies_s = np.sort(result.end_s - result.pacing.scheduled_s)
    assert probe.latency_ms == pytest.approx(1000 * np.percentile(latencies_s, slo.percentile))
    assert 10 < probe.latency_ms < 400
    assert probe.found.requests == result.requests == pytest.approx(150 * 5, rel=0.2)
    assert probe.found.misses == int((latencies_s > slo.bound_ms / 1000).sum())
    assert probe.measured_s == 5.0
    assert (probe.rate_rps, probe.failure, probe.generator_problem) == (150, None, None)


def test_a_latency_that_never_changes_is_told_exactly() -> None:
    looks, _ = looks_at(CONSTANT)
    looks.arrivals = "constant"
    assert looks.at(0.5, 30.0).latency_ms == pytest.approx(20.0)
    assert looks.alone_s() == pytest.approx(0.020)


def test_the_median_of_a_request_by_itself_is_in_seconds() -> None:
    looks, watched = looks_at(SERVER)
    assert looks.alone_s() == pytest.approx(0.026, rel=0.3)
    ((load, _),) = watched.sent
    assert isinstance(load, OpenLoop)
    assert load.max_in_flight == 1


def test_a_closed_loop_fills_the_server_and_no_more() -> None:
    looks, watched = looks_at(SERVER)
    assert looks.capacity_rps(0.026) == pytest.approx(SERVER.capacity_rps, rel=0.1)
    load, result = watched.sent[-1]
    assert isinstance(load, ClosedLoop)
    assert 8 <= load.connections <= 128
    assert np.median(result.latency_s) < 1.0  # the last ones drain soon


def test_a_closed_loop_has_no_more_connections_than_there_may_be() -> None:
    looks, watched = looks_at(SERVER, max_in_flight=6)
    assert looks.capacity_rps(0.001) is not None
    assert {load.connections for load, _ in watched.sent if isinstance(load, ClosedLoop)} == {6}


def test_a_look_at_a_rate_far_too_high_ends_soon() -> None:
    looks, watched = looks_at(SERVER)
    probe = looks.at(2 * SERVER.capacity_rps, 30.0)
    assert probe.measured_s < 2
    assert (probe.verdict, probe.holds) == ("fails", False)
    assert watched.now_s < 5


def test_a_look_at_a_rate_that_holds_is_as_long_as_asked() -> None:
    looks, _ = looks_at(SERVER)
    probe = looks.at(60, 20.0)
    assert (probe.verdict, probe.holds, probe.measured_s) == ("holds", True, 20.0)


# What is sent.


@pytest.mark.parametrize(
    ("slo", "longest_s", "warm_up_s"),
    [(P99_100MS, 30.0, 0.8), (Slo(99, 500), 30.0, 2.0), (P99_100MS, 1.5, 0.5)],
)
def test_warming_up_takes_three_bounds_and_half_a_second(
    slo: Slo, longest_s: float, warm_up_s: float
) -> None:
    looks, _ = looks_at(SERVER, slo)
    looks.longest_s = longest_s
    assert looks.warm_up_s == pytest.approx(warm_up_s)


def test_seven_requests_are_sent_alone_within_the_bound() -> None:
    looks, watched = looks_at(SERVER)
    looks.alone_s()
    ((load, _),) = watched.sent
    assert load == OpenLoop(70, 0.1, "constant", max_in_flight=1)


@pytest.mark.parametrize(
    ("slo", "alone_s", "connections", "seconds", "warm_up_s"),
    [
        (P99_100MS, 0.026, 8, 1.0, 0.5),  # so many fill the bound twice
        (P99_100MS, 0.09, 4, 1.0, 0.5),
        (P99_100MS, 0.001, 32, 1.0, 0.5),
        (P99_100MS, None, 4, 1.0, 0.5),
        (Slo(99, 200), None, 4, 2.0, 1.0),
        (Slo(99, 500), None, 4, 3.0, 1.5),  # a tenth of the longest look
    ],
)
def test_a_closed_loop_begins_with_as_many_as_fill_the_bound_twice(
    slo: Slo, alone_s: float | None, connections: int, seconds: float, warm_up_s: float
) -> None:
    looks, watched = looks_at(SERVER, slo)
    looks.capacity_rps(alone_s)
    first, _ = watched.sent[0]
    assert isinstance(first, ClosedLoop)
    assert first.connections == connections
    assert (first.duration_s, first.warm_up_s) == (pytest.approx(seconds), pytest.approx(warm_up_s))


@pytest.mark.parametrize(
    ("server", "slo", "connections"),
    [
        (BatchServer(workers=64, base_s=0.02, each_s=0.0), P99_100MS, [4, 16, 64]),  # three times at most
        (CONSTANT, Slo(99, 2000), [4, 16]),  # more of them bring nothing
        (CONSTANT, Slo(99, 50), [4]),  # an answer takes 80 ms, more than 1.5 times the bound
        (CONSTANT, Slo(99, 56), [4, 16]),
    ],
)
def test_connections_are_four_times_as_many_as_long_as_that_is_of_use(
    server: BatchServer, slo: Slo, connections: list[int]
) -> None:
    looks, watched = looks_at(server, slo)
    looks.capacity_rps(None)
    assert [load.connections for load, _ in watched.sent if isinstance(load, ClosedLoop)] == connections


def test_a_closed_loop_in_which_requests_fail_tells_nothing() -> None:
    looks, _ = looks_at(SERVER)
    looks.send = changed(looks, statuses={200: 9, 503: 1})
    assert looks.capacity_rps(0.02) is None


def test_a_look_warms_up_and_gives_up_where_three_bounds_of_requests_wait_and_16() -> None:
    looks, watched = looks_at(SERVER, max_in_flight=100)
    looks.at(155, 5.0)
    ((load, _),) = watched.sent
    assert load == OpenLoop(155, 5.0, "poisson", looks.warm_up_s, 100, most_waiting=47 + 16)


# What spoils a look.


def changed(looks: Looks, **fields: object) -> Callable[[Load, int], LoadResult]:
    """Sends as `looks` do, but what comes back has other `fields`."""
    send = looks.send
    return lambda load, seed: replace(send(load, seed), **fields)  # type: ignore[arg-type]


def late_by(looks: Looks, late_s: float, busy: float = 0.1) -> Callable[[Load, int], LoadResult]:
    send = looks.send

    def late(load: Load, seed: int) -> LoadResult:
        result = send(load, seed)
        assert result.pacing is not None
        lateness_s = np.full(len(result.pacing.lateness_s), late_s)
        return replace(result, pacing=replace(result.pacing, lateness_s=lateness_s, busy=busy))

    return late


def test_where_requests_fail_a_rate_is_too_high() -> None:
    looks, _ = looks_at(SERVER)
    looks.send = changed(looks, statuses={200: 9, 503: 1})
    probe = looks.at(60, 20.0)
    assert (probe.verdict, probe.holds) == ("fails", False)
    assert probe.failure is not None
    assert probe.failure.startswith("1 of 10 answers were no success (9 x 200, 1 x 503)")


@pytest.mark.parametrize(
    ("late_s", "busy", "problem"),
    [
        (0.009, 0.1, None),  # within a tenth of the bound
        (0.011, 0.1, "it was 11 ms late at p99, more than a tenth of the bound"),
        (0.0, 0.95, None),
        (0.0, 0.96, "it was busy for 96% of the time"),
    ],
)
def test_what_the_generator_could_not_send_on_time_is_sent_once_more_and_says_nothing(
    late_s: float, busy: float, problem: str | None
) -> None:
    looks, watched = looks_at(SERVER)
    looks.send = late_by(looks, late_s, busy)
    probe = looks.at(60, 5.0)
    assert len(watched.sent) == (2 if problem else 1)
    assert (probe.generator_problem is None) == (problem is None)
    if problem:
        assert problem in str(probe.generator_problem)
        assert (probe.verdict, probe.holds, probe.failure) == ("unsure", False, None)


@pytest.mark.parametrize(
    ("busy", "takes", "disturbed"),
    [([], 1, None), ([True], 2, None), ([True] * 2, 3, None), ([True] * 9, 3, "busy")],
)
def test_a_look_that_was_disturbed_is_taken_three_times_at_most(
    busy: list[bool], takes: int, disturbed: str | None
) -> None:
    looks, watched = looks_at(SERVER)
    told = iter(busy)
    looks.disturbed = lambda result: "busy" if next(told, False) else None
    assert looks.at(60, 5.0).disturbed == disturbed
    assert len(watched.sent) == takes
    assert len({id(result) for _, result in watched.sent}) == takes


@pytest.mark.parametrize(
    ("server", "busy", "takes"), [(SERVER, "busy", 1), (CONSTANT, None, 1), (CONSTANT, "busy", 3)]
)
def test_alone_it_is_only_taken_again_where_the_bound_was_not_kept_on_a_busy_machine(
    server: BatchServer, busy: str | None, takes: int
) -> None:
    looks, watched = looks_at(server, Slo(99, 100) if server is SERVER else Slo(99, 19))
    looks.disturbed = lambda result: busy
    if server is SERVER:
        assert looks.alone_s() is not None
    else:
        with pytest.raises(NoGoodputError, match="a request by itself takes 20 ms") as error:
            looks.alone_s()
        assert error.value.disturbed == busy
    assert len(watched.sent) == takes


def test_where_no_request_was_answered_nothing_is_known_of_one_alone() -> None:
    looks, _ = looks_at(SERVER)
    none = np.empty(0)
    looks.send = changed(looks, start_s=none, end_s=none)
    assert looks.alone_s() is None


def test_what_proves_nothing_is_guessed_by_what_was_late() -> None:
    """Always the same latency, just above the bound or below it, of a few requests."""
    for bound_ms, verdict, holds in ((21, "unsure", True), (19, "fails", False)):
        looks, _ = looks_at(CONSTANT, Slo(99, bound_ms))
        looks.arrivals = "constant"
        probe = looks.at(20, 10.0)
        assert (probe.verdict, probe.holds) == (verdict, holds)


@pytest.mark.parametrize(("late", "holds"), [(0, True), (1, True), (2, True), (3, False)])
def test_of_two_hundred_requests_two_may_be_late(late: int, holds: bool) -> None:
    looks, _ = looks_at(CONSTANT, Slo(99, 100))
    looks.arrivals = "constant"
    send = looks.send

    def some_late(load: Load, seed: int) -> LoadResult:
        result = send(load, seed)
        return replace(result, end_s=result.end_s + np.where(np.arange(len(result.end_s)) < late, 1.0, 0.0))

    looks.send = some_late
    probe = looks.at(20, 10.0)
    assert (probe.found.requests, probe.found.misses) == (200, late)
    assert (probe.verdict, probe.holds) == ("unsure", holds)
