"""Looks: what is sent for each, and that their figures are those of the latencies, in their units."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from experiments.load import ClosedLoop, LoadResult, OpenLoop
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
