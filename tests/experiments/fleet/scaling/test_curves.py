"""Demands over time, and the requests that come of them."""

import numpy as np
import pytest

from experiments.base.errors import UsageError
from experiments.fleet.scaling import Curve, bursts, daily, day_through, of_periods, ramp
from experiments.placement.periods import Period


def test_requests_come_at_the_rates_of_their_time() -> None:
    arrived_s = Curve("two rates", 100.0, (10.0, 40.0)).arrivals(seed=1)
    assert (np.diff(arrived_s) >= 0).all()
    assert (arrived_s < 100).sum() == pytest.approx(1000, abs=100)
    assert (arrived_s >= 100).sum() == pytest.approx(4000, abs=200)


def test_a_seed_gives_the_same_day_and_another_one_another() -> None:
    assert daily(10, 100, seed=1) == daily(10, 100, seed=1)
    assert daily(10, 100, seed=1) != daily(10, 100, seed=2)


def test_a_day_rises_to_its_middle() -> None:
    day = daily(10, 100, seed=1, noise=0.0)
    assert day.lasts_s == 86_400
    assert day.rates_rps[0] == pytest.approx(10)
    assert day.peak_rps == day.rates_rps[720] == pytest.approx(100)


def test_a_day_goes_in_straight_lines_from_hour_to_hour() -> None:
    day = day_through("d", [float(hour) for hour in range(24)])
    assert (day.step_s, len(day.rates_rps)) == (60.0, 1440)
    assert [day.rates_rps[minute] for minute in (0, 30, 60, 23 * 60, 23 * 60 + 30)] == [0, 0.5, 1, 23, 11.5]


def test_bursts_are_as_long_and_as_high_as_asked() -> None:
    curve = bursts(10, seed=3, lasts_s=20_000, times=4, burst_s=60, every_s=600)
    assert set(curve.rates_rps) == {10, 40}
    share = curve.rates_rps.count(40) / len(curve.rates_rps)
    assert share == pytest.approx(0.1, abs=0.04)


def test_a_ramp_ends_where_it_should() -> None:
    curve = ramp(10, 50, ramp_s=100, hold_s=50)
    assert curve.rates_rps[0] == curve.rates_rps[-1] == 10
    assert curve.peak_rps == 50
    assert curve.lasts_s == 100 + 5 * 50


def test_a_moment_has_the_rate_of_its_step() -> None:
    assert Curve("c", 2.0, (1.0, 5.0)).each(1.0).tolist() == [1, 1, 5, 5]


def test_squeezed_it_has_the_same_shape() -> None:
    assert Curve("c", 60.0, (1.0, 4.0)).squeezed(10.0, 8.0) == Curve("c", 5.0, (2.0, 8.0))


def test_a_trace_of_placements_is_a_curve_for_each_workload() -> None:
    periods = [Period(0, 20, (1.0, 2.0)), Period(20, 40, (3.0, 4.0))]
    assert of_periods("t", periods, 1) == Curve("t", 20.0, (2.0, 4.0))
    with pytest.raises(UsageError, match="alike"):
        of_periods("t", [*periods, Period(40, 50, (3.0, 4.0))], 1)


@pytest.mark.parametrize("rates", [(), (-1.0,), (float("nan"),)])
def test_what_is_no_rate_is_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="curve c"):
        Curve("c", 1.0, rates)
