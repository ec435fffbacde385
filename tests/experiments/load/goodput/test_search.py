"""The search for the highest rate: on servers that are simulated, whose goodput is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.load import ClosedLoop, LoadResult, OpenLoop
from experiments.load.goodput import Goodput, NoGoodputError, Probe, as_json, find
from experiments.load.goodput.evidence import Evidence
from experiments.load.goodput.search import Search
from experiments.plan import Slo
from tests.support.simulated_server import BatchServer, Simulated

P99_100MS = Slo(99, 100)
FAST = BatchServer(workers=1, most=1, base_s=0.001, each_s=0.0, jitter=0.0)
BATCHES = BatchServer(workers=2, most=8, base_s=0.02, each_s=0.006, jitter=0.2)
BATCHES_OF_400 = BatchServer(workers=2, most=8, base_s=0.01, each_s=0.003, jitter=0.2)
BUSY = "other programs used 1.00 of 2 cores"

Load = ClosedLoop | OpenLoop


def search(server: BatchServer, slo: Slo = P99_100MS, *, seed: int = 0, **options: object) -> Goodput:
    simulated = Simulated(server, offset=1000 * seed)
    return find(simulated.send, slo, clock=simulated.clock, **options)  # type: ignore[arg-type]


# Where the truth is known.


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("server", "within"),
    [
        pytest.param(BATCHES_OF_400, 0.05, id="420/s"),
        pytest.param(BATCHES, 0.08, id="120/s: fewer requests a minute say less"),
    ],
)
def test_the_goodput_of_a_batch_server_is_found_within_a_minute(server: BatchServer, within: float) -> None:
    truth_rps = server.truth_rps(P99_100MS, requests=60_000)
    errors, takes_s = [], []
    for seed in range(9):
        simulated = Simulated(server, offset=1000 * seed)
        goodput = find(simulated.send, P99_100MS, clock=simulated.clock)
        errors.append(abs(goodput.rate_rps / truth_rps - 1))
        takes_s.append(simulated.now_s)
        assert goodput.problems() == []
    assert np.median(errors) < within
    assert np.median(takes_s) <= 60
    assert max(takes_s) < 120


@pytest.mark.thorough
@settings(deadline=None, max_examples=15)
@given(each_s=st.floats(0.0005, 0.004), workers=st.integers(1, 2), seed=st.integers(0, 10**4))
def test_any_batch_server_is_found_in_time(each_s: float, workers: int, seed: int) -> None:
    server = BatchServer(workers, 8, 3 * each_s, each_s, 0.2)
    simulated = Simulated(server, offset=seed)
    goodput = find(simulated.send, P99_100MS, clock=simulated.clock)
    assert simulated.now_s < 120
    assert 0.3 * server.capacity_rps < goodput.rate_rps < 1.05 * server.capacity_rps
    assert goodput.surely_rps is not None
    assert goodput.surely_rps <= goodput.rate_rps


def test_a_server_without_queues_is_found_to_its_capacity() -> None:
    # 1 ms a request, always: 1,000 requests/s, and far from that nobody waits for 100 ms.
    assert 900 < search(FAST).rate_rps < 1020


def test_a_prediction_is_where_the_search_begins() -> None:
    assert search(BATCHES, start_rps=150).probes[0].rate_rps == pytest.approx(150, rel=0.02)


def test_a_prediction_that_a_closed_loop_rules_out_is_not_used() -> None:
    probes = search(BATCHES, start_rps=10).probes
    assert all(probe.rate_rps > 50 for probe in probes)


def test_a_service_time_above_the_bound_is_told() -> None:
    slow = BatchServer(most=1, base_s=0.15, each_s=0.0, jitter=0.0)
    with pytest.raises(NoGoodputError, match=r"a request by itself takes 150 ms$"):
        search(slow)


def test_on_a_busy_machine_that_is_told_with_what_was_not_kept() -> None:
    slow = BatchServer(most=1, base_s=0.15, each_s=0.0, jitter=0.0)
    with pytest.raises(NoGoodputError, match=rf"takes 150 ms; this machine was busy meanwhile: {BUSY}"):
        search(slow, disturbed=lambda result: BUSY)


def test_a_short_measurement_says_that_it_is_unsure() -> None:
    goodput = search(BATCHES, longest_s=2)
    assert not goodput.sure
    assert "measure longer" in goodput.explain()


# Rates that can't be sent, or fail.


def failing_above(most_rps: float, server: BatchServer = FAST) -> Simulated:
    simulated = Simulated(server)
    whole = simulated.send

    class Failing(Simulated):
        def send(self, load: Load, seed: int) -> LoadResult:
            result = whole(load, seed)
            self.now_s = simulated.now_s
            if isinstance(load, OpenLoop) and load.rate_rps > most_rps:
                result.statuses[503] = 1
            return result

    return Failing(server)


def test_a_rate_with_failures_is_too_high_however_fast_the_rest_is() -> None:
    failing = failing_above(100)
    goodput = find(failing.send, P99_100MS, clock=failing.clock)
    assert 90 < goodput.rate_rps <= 100
    assert any(probe.failure and "503" in probe.failure for probe in goodput.probes)


def late_by(late_s: float) -> Simulated:
    class Late(Simulated):
        def send(self, load: Load, seed: int) -> LoadResult:
            result = Simulated.send(self, load, seed)
            if result.pacing is None:
                return result
            lateness_s = np.full(len(result.pacing.lateness_s), late_s)
            return replace(result, pacing=replace(result.pacing, lateness_s=lateness_s))

    return Late(FAST)


def test_the_generators_lateness_matters_where_the_bound_is_as_small() -> None:
    late = late_by(0.002)
    assert find(late.send, Slo(99, 100), clock=late.clock).problems() == []
    late = late_by(0.002)
    with pytest.raises(
        NoGoodputError, match=r"no rate can be measured: .* 2 ms late at p99.*tenth of the bound"
    ):
        find(late.send, Slo(99, 10), clock=late.clock)


# A machine that does other things.


def busy_looks(*numbers: int) -> Callable[[LoadResult], str | None]:
    """Says of the looks with these numbers, or of all where none is given, that another program ran."""
    looks = iter(range(10**6))

    def disturbed(result: LoadResult) -> str | None:
        return BUSY if not numbers or next(looks) in numbers else None

    return disturbed


def test_a_look_that_was_disturbed_is_taken_again() -> None:
    simulated, looked = Simulated(BATCHES), []

    def send(load: Load, seed: int) -> LoadResult:
        if isinstance(load, OpenLoop) and load.max_in_flight > 1:
            looked.append(load.rate_rps)
        return simulated.send(load, seed)

    goodput = find(send, P99_100MS, clock=simulated.clock, disturbed=busy_looks(1))
    assert goodput.problems() == []
    assert not any(probe.disturbed for probe in goodput.probes)
    assert looked[0] == looked[1]


def test_a_search_on_a_machine_that_stays_busy_says_so() -> None:
    goodput = search(BATCHES, disturbed=busy_looks())
    (problem,) = goodput.problems()
    assert problem.endswith("this machine was busy, each time that it was looked at: " + BUSY)
    assert as_json(goodput)["probes"][0]["disturbed"] == BUSY


# Where to look next: pure.


def a_look(rate_rps: float, misses: int, requests: int = 2000) -> Probe:
    share = misses / requests
    verdict = "holds" if share < 0.005 else "fails" if share > 0.02 else "unsure"
    return Probe(rate_rps, verdict, share <= 0.01, 50.0, Evidence(requests, misses, 1.0), 5.0)  # type: ignore[arg-type]


def test_the_first_look_is_somewhat_below_what_a_closed_loop_reached() -> None:
    planned = Search(P99_100MS, 400, None).next_look(3.0)
    assert planned is not None
    rate_rps, length_s = planned
    assert 250 < rate_rps < 350
    assert 0.5 <= length_s <= 10


@given(misses=st.integers(100, 2000), rate_rps=st.floats(50, 1000))
def test_after_a_look_that_fails_the_next_is_lower(misses: int, rate_rps: float) -> None:
    pure = Search(P99_100MS, 1.3 * rate_rps, None, probes=[a_look(rate_rps, misses)])
    planned = pure.next_look(5.0)
    assert planned is not None
    assert planned[0] < rate_rps


def test_it_is_enough_when_the_limit_is_known() -> None:
    probes = [a_look(rate, 1 + int(20 * math.exp((rate - 300) / 10))) for rate in (270, 295, 300, 305, 310)]
    pure = Search(P99_100MS, 400, None, probes=probes)
    assert pure.next_look(20.0) is None
    assert pure.goodput().sure
    assert 290 < pure.goodput().rate_rps < 310


def test_it_is_enough_when_the_time_is_over() -> None:
    pure = Search(P99_100MS, 400, None, longest_s=10, probes=[a_look(250, 0), a_look(300, 0)])
    assert pure.next_look(20.0) is not None  # two looks tell little
    pure.probes.append(a_look(370, 200))
    assert pure.next_look(3.0) is not None
    assert pure.next_look(20.0) is None


@given(spent_s=st.floats(0, 120), longest_s=st.floats(1, 60))
def test_no_look_is_longer_than_asked_for(spent_s: float, longest_s: float) -> None:
    pure = Search(P99_100MS, 400, None, longest_s=longest_s, probes=[a_look(300, 10), a_look(310, 30)])
    if (planned := pure.next_look(spent_s)) is not None:
        assert planned[1] <= longest_s


def test_a_bound_that_no_rate_keeps_is_told() -> None:
    pure = Search(P99_100MS, 400, None, probes=[a_look(0.4, 2000)])
    with pytest.raises(NoGoodputError, match=r"not kept at any rate: even at 0.4 requests/s p99 is 50 ms"):
        pure.next_look(10.0)


@pytest.mark.parametrize("start_rps", [0, -1, math.inf])
def test_a_start_that_is_no_rate_is_refused(start_rps: float) -> None:
    with pytest.raises(ValueError, match="can't start"):
        search(FAST, start_rps=start_rps)
