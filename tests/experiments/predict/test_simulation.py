"""Batches gathered as TorchServe gathers them: cases that can be computed, and what no load can exceed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.predict.simulation import Offered, Stalls, Station, simulate
from tests.support.queueing import mean_of_md1, percentile_of_mm1

batches_ms = st.lists(st.floats(0.1, 50), min_size=1, max_size=16).map(
    lambda steps: tuple(sum(steps[: n + 1]) for n in range(len(steps)))
)
stations = st.builds(
    Station,
    workers=st.integers(1, 4),
    delay_ms=st.integers(1, 50).map(float),
    batch_ms=batches_ms,
)


class TestAClosedLoop:
    def test_one_worker_and_no_batches_serve_one_after_the_other(self) -> None:
        found = simulate(Station(1, 1.0, (10.0,)), Offered(clients=3, window_s=2.0))
        assert found.throughput_rps == pytest.approx(100)
        assert found.p50_ms == pytest.approx(30)  # two wait before it
        assert found.p99_ms == pytest.approx(30)
        assert found.filled_batch == 1

    def test_a_full_queue_fills_every_batch_whatever_the_delay(self) -> None:
        for delay_ms in (1.0, 50.0):
            found = simulate(Station(1, delay_ms, (5.0, 6.0, 7.0, 8.0)), Offered(clients=8, window_s=2.0))
            assert found.filled_batch == pytest.approx(4)
            assert found.throughput_rps == pytest.approx(500)
            assert found.p50_ms == pytest.approx(16)

    def test_too_few_clients_wait_for_the_delay(self) -> None:
        found = simulate(Station(1, 20.0, (5.0, 6.0, 7.0, 8.0)), Offered(clients=2, window_s=2.0))
        assert found.filled_batch == pytest.approx(2)
        assert found.p50_ms == pytest.approx(20 + 6)
        assert found.throughput_rps == pytest.approx(2 / 0.026, rel=1e-3)

    def test_workers_share_the_clients(self) -> None:
        found = simulate(Station(2, 1.0, (10.0,)), Offered(clients=4, window_s=2.0))
        assert found.throughput_rps == pytest.approx(200, rel=1e-3)
        assert found.p50_ms == pytest.approx(20)

    def test_who_gathers_has_the_lock_and_takes_what_there_is(self) -> None:
        """Three clients, of whom the second worker never sees one."""
        found = simulate(Station(2, 20.0, (5.0, 6.0, 7.0, 8.0)), Offered(clients=3, window_s=2.0))
        assert found.filled_batch == pytest.approx(3)
        assert found.p50_ms == found.p99_ms == pytest.approx(20 + 7)
        assert found.throughput_rps == pytest.approx(3 / 0.027)

    def test_who_comes_while_a_batch_is_worked_on_is_in_the_next(self) -> None:
        """Two of three clients are: half of the requests wait for a batch, half for none."""
        found = simulate(Station(1, 4.0, (5.0, 6.0)), Offered(clients=3, window_s=2.0))
        assert found.filled_batch == pytest.approx(2)
        assert found.throughput_rps == pytest.approx(2 / 0.006)
        assert found.p50_ms == pytest.approx((6 + 12) / 2)
        assert found.p95_ms == found.p99_ms == pytest.approx(12)

    def test_so_many_requests_are_a_run_too(self) -> None:
        found = simulate(Station(1, 1.0, (10.0,)), Offered(clients=2, requests=50))
        assert found.throughput_rps == pytest.approx(100)

    def test_a_batch_that_takes_longer_than_the_run(self) -> None:
        found = simulate(Station(1, 1.0, (5000.0,)), Offered(clients=1, window_s=1.0))
        assert found.throughput_rps == pytest.approx(0.2)
        assert found.p99_ms == pytest.approx(5000)

    def test_stalls_cost_their_share_and_make_the_tail(self) -> None:
        calm = Station(1, 1.0, (10.0,))
        stalled = Station(1, 1.0, (10.0,), stalls=Stalls(rate_per_s=10, mean_ms=10))
        load = Offered(clients=2, window_s=30.0)
        assert simulate(stalled, load).throughput_rps == pytest.approx(
            simulate(calm, load).throughput_rps / 1.1, rel=0.05
        )
        assert simulate(stalled, load).p99_ms > 1.5 * simulate(calm, load).p99_ms

    def test_a_long_batch_meets_as_many_stalls_as_its_time_has(self) -> None:
        stalled = Station(1, 1.0, (1000.0,), stalls=Stalls(rate_per_s=10, mean_ms=10))
        found = simulate(stalled, Offered(clients=1, window_s=100.0))
        assert found.throughput_rps == pytest.approx(1 / 1.1, rel=0.02)

    @pytest.mark.parametrize("none", [Stalls(), Stalls(0.0, 10.0), Stalls(10.0, 0.0)])
    def test_no_stalls_or_ones_of_no_time_cost_nothing(self, none: Stalls) -> None:
        found = simulate(Station(1, 1.0, (10.0,), stalls=none), Offered(clients=2, window_s=2.0))
        assert found == simulate(Station(1, 1.0, (10.0,)), Offered(clients=2, window_s=2.0))
        assert Stalls() == Stalls(0.0, 0.0)

    def test_the_percentile_that_is_asked_for_is_the_99th_unless_told(self) -> None:
        station = Station(2, 4.0, (5.0, 6.0, 9.0))
        loads = (Offered(5, window_s=2.0), Offered(5, window_s=2.0, percentile=99.0))
        assert simulate(station, loads[0]) == simulate(station, loads[1])
        assert loads[0].percentile == 99.0

    @pytest.mark.thorough
    @given(stations, st.integers(1, 64))
    @settings(max_examples=50, deadline=None)
    def test_no_load_gets_more_than_the_workers_carry(self, station: Station, clients: int) -> None:
        found = simulate(station, Offered(clients, window_s=1.0))
        assert 0 < found.throughput_rps <= station.most_rps
        assert 1 <= found.filled_batch <= station.batch_size
        assert min(station.batch_ms) * (1 - 1e-9) <= found.p50_ms <= found.p95_ms <= found.p99_ms

    @pytest.mark.thorough
    @given(stations, st.integers(0, 3))
    @settings(max_examples=50, deadline=None)
    def test_more_batches_of_clients_get_no_less(self, station: Station, rounds: int) -> None:
        full = station.workers * station.batch_size
        fewer, more = ((1 + rounds) * full, (2 + rounds) * full)
        less = simulate(station, Offered(fewer, window_s=1.0)).throughput_rps
        assert simulate(station, Offered(more, window_s=1.0)).throughput_rps >= less * 0.97


class TestAnOpenLoop:
    def test_constant_arrivals_below_what_is_carried_do_not_wait(self) -> None:
        found = simulate(
            Station(1, 1.0, (10.0,)), Offered(clients=512, rate_rps=50.0, poisson=False, window_s=5.0)
        )
        assert found.throughput_rps == pytest.approx(50, rel=0.01)
        assert found.p99_ms == pytest.approx(10)

    def test_a_batch_is_what_comes_until_the_delay_has_passed(self) -> None:
        """Every 10 ms one: of three the first waits for 25 ms, the second for 15, the third for 5."""
        load = Offered(clients=512, rate_rps=100.0, poisson=False, window_s=3.0, percentile=50.0)
        found = simulate(Station(1, 25.0, (5.0, 6.0, 4.0, 8.0)), load)
        assert found.filled_batch == pytest.approx(3, rel=0.01)
        assert found.p50_ms == found.asked_ms == pytest.approx(15 + 4)
        assert found.p99_ms == pytest.approx(25 + 4)

    def test_no_more_are_in_flight_than_there_may_be(self) -> None:
        """Two at once: the queue holds no third, and waiting counts from when a request was due."""
        station = Station(1, 1.0, (10.0, 10.0, 10.0, 10.0))
        found = simulate(station, Offered(clients=2, rate_rps=1000.0, poisson=False, window_s=1.0))
        assert found.filled_batch == pytest.approx(2, rel=0.01)
        assert found.throughput_rps == pytest.approx(2 / 0.011, rel=0.01)

    def test_constant_service_times_wait_as_theory_says(self) -> None:
        found = simulate(Station(1, 1.0, (10.0,)), Offered(clients=512, rate_rps=70.0, window_s=60.0))
        assert found.p50_ms < mean_of_md1(70.0, 0.01) * 1e3 < found.p95_ms
        assert found.p99_ms < percentile_of_mm1(70.0, 0.01, 99) * 1e3

    def test_a_rate_beyond_what_is_carried_waits_for_the_client(self) -> None:
        found = simulate(Station(1, 1.0, (10.0,)), Offered(clients=16, rate_rps=500.0, window_s=2.0))
        assert found.throughput_rps == pytest.approx(100, rel=0.02)
        assert found.p50_ms > 1000  # from when they were due

    def test_batches_fill_with_the_rate(self) -> None:
        station = Station(1, 5.0, tuple(10.0 + n for n in range(8)))
        filled = [
            simulate(station, Offered(512, rate_rps=rate, window_s=5.0)).filled_batch
            for rate in (20, 200, 400)
        ]
        assert filled == sorted(filled)
        assert filled[0] < 2 < filled[-1]


def test_workers_carry_what_their_best_batches_do() -> None:
    station = Station(2, 1.0, (10.0, 15.0, 30.0))
    assert station.batch_size == 3
    assert station.most_rps == pytest.approx(2 * 2e3 / 15)
