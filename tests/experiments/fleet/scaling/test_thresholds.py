"""When to add an instance, reckoned by hand and as a promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.scaling import Control, Curve, thresholds
from experiments.fleet.scaling.thresholds import growth_in
from tests.support.scalings import service

AT_ONCE = Control(polling_s=10, window_s=1, stabilisation_s=0)


def test_a_rate_that_stays_needs_no_reserve() -> None:
    found = thresholds(service(), Curve("flat", 60.0, (20.0,) * 10))
    assert (found.growth, found.up_rps, found.lag_s) == (1.0, 10.0, 45.0)
    assert found.target_rps == pytest.approx(10 / 1.1)
    assert found.control.stabilisation_s == found.cooldown_s == 30.0


def test_a_rate_that_doubles_within_the_lag_halves_what_an_instance_is_trusted_with() -> None:
    doubling = Curve("doubling every 10 s", 1.0, tuple(2 ** (second / 10) for second in range(100)))
    assert growth_in(doubling, AT_ONCE, 10.0, 100) == pytest.approx(2.0)
    assert growth_in(doubling, AT_ONCE, 20.0, 100) == pytest.approx(4.0)


def test_a_window_lags_too() -> None:
    rising = Curve("rising", 1.0, tuple(100.0 + second for second in range(100)))
    averaged = replace(AT_ONCE, window_s=21)  # as the rate was 10 s before, on a line
    assert growth_in(rising, averaged, 10.0, 100) == pytest.approx(130 / 110)  # the first whole window


def test_what_was_held_is_no_growth() -> None:
    waves = Curve("waves", 10.0, (1.0, 4.0) * 10)
    assert growth_in(waves, AT_ONCE, 10.0, 100) == pytest.approx(4.0)
    held = replace(AT_ONCE, stabilisation_s=20)
    # But for the first wave, which nobody knew.
    assert growth_in(waves, held, 10.0, 90) == pytest.approx(1.0)


def test_the_percentile_leaves_out_the_requests_that_grew_most() -> None:
    step = Curve("a step", 10.0, (10.0,) * 50 + (40.0,) * 50)
    # The 10 s after the step have 400 of some 24,900 requests.
    assert growth_in(step, AT_ONCE, 10.0, 99) == pytest.approx(4.0)
    assert growth_in(step, AT_ONCE, 10.0, 98) == pytest.approx(1.0)


def test_from_nothing_the_highest_finite_growth_counts() -> None:
    assert growth_in(Curve("nights", 10.0, (0.0, 5.0)), AT_ONCE, 10.0, 99) == 1.0
    assert growth_in(Curve("nothing", 10.0, (0.0,) * 9), AT_ONCE, 10.0, 99) == 1.0


def test_growth_ends_at_the_peak_and_the_rate_does_not() -> None:
    found = replace(
        thresholds(service(), Curve("flat", 60.0, (20.0,) * 10), tolerance=0.0), growth=4.0, peak_rps=60.0
    )
    assert [found.wanted(rate) for rate in (5.0, 15.0, 40.0, 80.0)] == [2.0, 6.0, 6.0, 8.0]
    assert found.up_rps == 2.5


def test_one_goes_where_the_others_are_still_enough() -> None:
    found = thresholds(service(), Curve("flat", 60.0, (20.0,) * 10), tolerance=0.1)
    assert found.down_rps(2) == pytest.approx(found.target_rps / 2)
    assert found.down_rps(20) == pytest.approx(found.target_rps * 0.9)
    assert found.down_rps(1) == 0


def test_the_stabilisation_is_the_loading_time_in_whole_polls() -> None:
    flat = Curve("flat", 60.0, (20.0,) * 10)
    held_s = [thresholds(service(loading_s=s), flat).control.stabilisation_s for s in (0.0, 15.0, 16.0, 44.0)]
    assert held_s == [15, 15, 30, 45]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1, 100), min_size=10, max_size=60),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 60),
)
def test_instances_in_time_are_enough_for_the_rate(
    rates: list[float], lag_s: int, window_s: int, stabilisation_s: int
) -> None:
    """The promise of the formula: what was measured a lag ago, times growth, is at least the rate."""
    curve = Curve("any", 7.0, tuple(rates))
    control = Control(1.0, window_s, stabilisation_s)
    growth = growth_in(curve, control, lag_s, 100)
    each = curve.each(1.0)
    averages = [each[max(0, t + 1 - window_s) : t + 1].mean() for t in range(len(each))]
    for t in range(lag_s, len(each)):
        known = max(averages[max(0, t - lag_s - stabilisation_s) : t - lag_s + 1])
        assert known * growth >= each[t] * (1 - 1e-9)


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_a_higher_rate_never_wants_fewer(rate_rps: float, more_rps: float) -> None:
    found = replace(thresholds(service(), Curve("flat", 60.0, (20.0,) * 10)), growth=3.0, peak_rps=50.0)
    assert found.wanted(rate_rps) <= found.wanted(rate_rps + more_rps)


def test_what_can_not_be_reckoned_is_refused() -> None:
    flat = Curve("flat", 1.0, (20.0,) * 20)
    with pytest.raises(UsageError, match="give a longer one"):
        thresholds(service(), flat)
    with pytest.raises(UsageError, match="measure it"):
        thresholds(service(capacity_rps=0.0), flat)
    with pytest.raises(UsageError, match="give 0 to 100"):
        thresholds(service(), flat, percentile=101)
    assert np.isfinite(thresholds(service(loading_s=1.0), flat, polling_s=5.0).growth)
