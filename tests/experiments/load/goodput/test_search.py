"""The search for the highest rate: on servers that are simulated, whose goodput is known."""

from __future__ import annotations

import math
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


class DisturbedLoop(Simulated):
    """The first closed loop gets a fifth of the server, as another program has the rest. `told` says so."""

    server_left = 0.2
    busy = False

    def send(self, load: Load, seed: int) -> LoadResult:
        result = Simulated.send(self, load, seed)
        self.busy = isinstance(load, ClosedLoop) and self.server_left < 1
        if not self.busy:
            return result
        slow = 1 / self.server_left
        self.server_left = 1.0
        return replace(
            result, start_s=result.start_s * slow, end_s=result.end_s * slow, window_s=result.window_s * slow
        )

    def told(self, result: LoadResult) -> str | None:
        return BUSY if self.busy else None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("watched", [True, False])
def test_a_closed_loop_that_was_disturbed_does_not_bind_the_search(watched: bool, seed: int) -> None:
    """Where nobody could tell that it was, rates that are kept above what it reached do."""
    server = DisturbedLoop(BATCHES_OF_400, offset=1000 * seed)
    goodput = find(
        server.send, P99_100MS, clock=server.clock, disturbed=server.told if watched else lambda result: None
    )
    assert goodput.rate_rps == pytest.approx(420, rel=0.12)


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


def test_a_look_that_was_disturbed_is_taken_again() -> None:
    simulated, looked = Simulated(BATCHES), list[float]()

    def send(load: Load, seed: int) -> LoadResult:
        if isinstance(load, OpenLoop) and load.max_in_flight > 1:
            looked.append(load.rate_rps)
        return simulated.send(load, seed)

    def disturbed(result: LoadResult) -> str | None:
        return BUSY if len(looked) == 1 else None

    goodput = find(send, P99_100MS, clock=simulated.clock, disturbed=disturbed)
    assert goodput.problems() == []
    assert not any(probe.disturbed for probe in goodput.probes)
    assert looked[0] == looked[1]


def test_a_search_on_a_machine_that_stays_busy_says_so() -> None:
    goodput = search(BATCHES, disturbed=lambda result: BUSY)
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


def next_look(pure: Search, spent_s: float = 3.0) -> tuple[float, float]:
    planned = pure.next_look(spent_s)
    assert planned is not None
    return planned


@pytest.mark.parametrize(
    ("capacity_rps", "start_rps", "first_rps"),
    [
        (400, None, 300),
        (400, 100, 100),  # predicted
        (400, 80, 300),  # a fifth of what the closed loop reached, and more than it can be
        (400, 480, 300),
        (400, 479, 479),
        (None, 7, 7),
        (None, None, 10),
    ],
)
def test_the_first_look_is_where_the_limit_is_expected(
    capacity_rps: float | None, start_rps: float | None, first_rps: float
) -> None:
    assert next_look(Search(P99_100MS, capacity_rps, start_rps))[0] == first_rps


@pytest.mark.parametrize(
    ("slo", "rate_rps", "seconds"),
    [
        (P99_100MS, 300, 2.5),  # as long as 25 times the bound
        (P99_100MS, 50, 6.0),  # 300 requests, of which 3 may be late
        (P99_100MS, 20, 10.0),  # a third of the longest look
        (Slo(50, 100), 25, 4.0),  # 100 requests
        (Slo(99, 1), 10_000, 0.5),
    ],
)
def test_the_first_look_is_as_short_as_tells_whether_a_rate_is_far_off(
    slo: Slo, rate_rps: float, seconds: float
) -> None:
    assert next_look(Search(slo, None, rate_rps)) == (rate_rps, pytest.approx(seconds))


def test_a_rate_is_one_that_can_be_read() -> None:
    assert next_look(Search(P99_100MS, None, 123.456))[0] == 123.5


FAILS, TOO_FAST = {"failure": "1 x 503"}, {"generator_problem": "the generator could not keep up"}


def stopped_at(rate_rps: float, why: dict[str, str] = FAILS) -> Probe:
    return replace(a_look(rate_rps, 0), holds=False, **why)  # type: ignore[arg-type]


def test_where_a_rate_fails_and_none_holds_a_glance_at_a_quarter_of_it_comes_next() -> None:
    assert next_look(Search(P99_100MS, 400, None, probes=[stopped_at(240)])) == (60, 0.5)
    assert next_look(Search(P99_100MS, 100, None, probes=[stopped_at(24)])) == (6, 5.0)  # 30 requests
    assert next_look(Search(P99_100MS, 10, None, probes=[stopped_at(4)])) == (1, 10.0)


def test_between_a_rate_that_holds_and_one_that_fails_their_middle_comes_next() -> None:
    assert next_look(Search(P99_100MS, 300, None, probes=[a_look(50, 0), stopped_at(200)])) == (
        100,
        pytest.approx(6.0),
    )


@pytest.mark.parametrize(
    ("why", "low_rps", "enough"),
    [(FAILS, 96, True), (FAILS, 94, False), (TOO_FAST, 67, True), (TOO_FAST, 66, False)],
)
def test_a_limit_of_something_else_is_found_to_the_tolerance_that_of_the_generator_roughly(
    why: dict[str, str], low_rps: float, enough: bool
) -> None:
    pure = Search(P99_100MS, 400, None, probes=[a_look(low_rps, 0), stopped_at(100, why)])
    assert (pure.next_look(3.0) is None) == enough


def test_the_ends_of_what_fails_are_the_last_rate_that_held_and_the_first_that_failed() -> None:
    found = Search(P99_100MS, 400, None, probes=[a_look(96, 0), stopped_at(100)]).goodput()
    assert (found.rate_rps, found.surely_not_rps, found.sure) == (96, 100, True)
    assert found.surely_rps is not None
    assert found.surely_rps <= 96
    assert not Search(P99_100MS, 400, None, probes=[a_look(90, 0), stopped_at(100)]).goodput().sure


def test_what_the_generator_could_not_send_is_no_upper_end() -> None:
    found = Search(P99_100MS, 400, None, probes=[a_look(96, 0), stopped_at(100, TOO_FAST)]).goodput()
    assert (found.rate_rps, found.surely_not_rps) == (96, None)
    assert found.problems() == ["the goodput is 96 requests/s or more: the generator could not keep up"]


def test_looks_that_all_hold_know_no_upper_end_those_that_all_fail_no_lower_one() -> None:
    hold = Search(P99_100MS, 400, None, probes=[a_look(rate, 0) for rate in (250, 300, 340)]).goodput()
    assert hold.surely_not_rps is None
    assert hold.surely_rps is not None
    probes = [a_look(rate, misses) for rate, misses in ((300, 26), (310, 30), (320, 36))]
    fail = Search(P99_100MS, 400, None, probes=probes).goodput()
    assert fail.surely_rps is None
    assert fail.surely_not_rps is not None


def test_where_no_look_holds_and_the_limit_is_hardly_known_there_is_none() -> None:
    with pytest.raises(NoGoodputError, match="even at 100 requests/s p99 is 50 ms"):
        Search(
            P99_100MS, 400, None, probes=[a_look(200, 2000), a_look(100, 2000), a_look(150, 2000)]
        ).goodput()


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (stopped_at(0.5), "p99=100ms is not kept at any rate: even at 0.5 requests/s 1 x 503"),
        (stopped_at(0.5, TOO_FAST), "no rate can be measured: the generator could not keep up"),
    ],
)
def test_single_requests_that_fail_are_told(probe: Probe, told: str) -> None:
    with pytest.raises(NoGoodputError) as error:
        Search(P99_100MS, 400, None, probes=[replace(probe, disturbed=BUSY)]).next_look(5.0)
    assert (str(error.value), error.value.disturbed) == (
        f"{told}; this machine was busy meanwhile: {BUSY}",
        BUSY,
    )


def test_a_request_in_20_bounds_is_a_single_one() -> None:
    assert next_look(Search(Slo(99, 125), 400, None, probes=[stopped_at(0.5)]))[0] == 0.125
    with pytest.raises(NoGoodputError):
        Search(P99_100MS, 400, None, probes=[stopped_at(0.5)]).next_look(5.0)


def nearly_known(**options: float) -> Search:
    """Three looks of 5 s, close to where a tenth less would hold and a tenth more fail."""
    probes = [a_look(rate, misses, 500) for rate, misses in ((290, 2), (300, 5), (310, 12))]
    return Search(P99_100MS, 400, None, probes=probes, **options)  # type: ignore[arg-type]


def test_the_closer_the_limit_gets_the_longer_a_look_is_by_half_of_what_is_missing() -> None:
    pure = nearly_known(tolerance=0.02)
    limit = pure.goodput()
    assert limit.surely_rps is not None
    assert limit.surely_not_rps is not None
    width = math.log(limit.surely_not_rps / limit.surely_rps) / 2
    missing_s = 15.0 * ((width / math.log(1.02)) ** 2 - 1)
    assert 5.0 < missing_s < 30.0
    assert next_look(pure)[1] == pytest.approx(missing_s / 2, rel=0.02)
    assert next_look(nearly_known(tolerance=0.001))[1] == 15.0  # half of the longest look


def test_looks_far_from_the_limit_do_not_count_as_time_spent_near_it() -> None:
    pure, more = nearly_known(tolerance=0.02), nearly_known(tolerance=0.02)
    more.probes.append(a_look(100, 0))
    assert next_look(more)[1] == pytest.approx(next_look(pure)[1], rel=0.2)


@pytest.mark.parametrize(("spent_s", "seconds"), [(44.0, 15.0), (49.4, 10.0), (56.8, 2.6)])
def test_the_last_look_fits_into_what_is_left(spent_s: float, seconds: float) -> None:
    """Of twice the longest look, less the bound and half a second to connect and for the last answers."""
    assert next_look(nearly_known(tolerance=0.001), spent_s)[1] == pytest.approx(seconds)


def test_a_look_that_would_be_too_short_to_tell_is_not_taken_but_for_the_first_three() -> None:
    pure = nearly_known(tolerance=0.001)
    assert pure.next_look(57.0) is None
    assert nearly_known(tolerance=0.001, warm_up_s=0.5).next_look(56.5) is None
    del pure.probes[0]
    assert next_look(pure, 57.0)[1] == 2.5


def test_two_looks_are_never_enough() -> None:
    probes = [a_look(300, 2000, 200_000), a_look(300, 2000, 200_000)]
    pure = Search(P99_100MS, 400, None, probes=probes)
    assert pure.next_look(5.0) is not None
    pure.probes.append(probes[0])
    assert pure.next_look(5.0) is None


@pytest.mark.parametrize("tolerance", [0, -0.1])
def test_a_search_to_within_nothing_never_ends(tolerance: float) -> None:
    with pytest.raises(ValueError, match="never ends: give more than 0"):
        search(FAST, tolerance=tolerance)


def test_each_look_is_told_as_it_was_taken() -> None:
    told: list[Probe] = []
    assert search(FAST, note=told.append, longest_s=2).probes == tuple(told)


def test_the_same_seed_sends_the_same() -> None:
    assert search(BATCHES, longest_s=2) == search(BATCHES, longest_s=2)
    simulated = Simulated(BATCHES)
    other = find(simulated.send, P99_100MS, clock=simulated.clock, longest_s=2, seed=5)
    assert other != search(BATCHES, longest_s=2)


@pytest.mark.parametrize("start_rps", [0, -1, math.inf])
def test_a_start_that_is_no_rate_is_refused(start_rps: float) -> None:
    with pytest.raises(ValueError, match="can't start"):
        search(FAST, start_rps=start_rps)


def test_half_a_request_a_second_is_a_start() -> None:
    assert search(FAST, start_rps=0.5, longest_s=2).rate_rps == pytest.approx(
        search(FAST, longest_s=2).rate_rps, rel=0.2
    )


def test_what_the_clock_says_at_the_begin_is_no_matter() -> None:
    simulated = Simulated(BATCHES)
    later = find(simulated.send, P99_100MS, clock=lambda: 1024 + simulated.clock())
    assert len(later.probes) == len(search(BATCHES).probes) > 3
