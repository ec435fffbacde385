"""The limit that is fitted through looks, where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.load.goodput.evidence import Evidence
from experiments.load.goodput.limit import Expected, Limit, fitted
from experiments.plan import Slo

P99_100MS = Slo(99, 100)
NOTHING_KNOWN = Expected(100, 1.0)


def limit_of(
    *looks: tuple[float, Evidence], expected: Expected = NOTHING_KNOWN, slo: Slo = P99_100MS
) -> Limit:
    return fitted(slo, looks, expected, 0.95)


def mm1_late(rate_rps: float, limit_rps: float, slo: Slo = P99_100MS) -> float:
    """The share that is late where an M/M/1 server's limit is `limit_rps`: time in it is exponential."""
    return min(1.0, slo.allowed * math.exp((rate_rps - limit_rps) * slo.bound_s))


def exact(rate_rps: float, limit_rps: float, requests: int = 20_000, slo: Slo = P99_100MS) -> Evidence:
    return Evidence(requests, round(requests * mm1_late(rate_rps, limit_rps, slo)), 1.0)


@given(limit_rps=st.floats(20, 5000), percentile=st.sampled_from([90.0, 95.0, 99.0]))
def test_looks_around_the_limit_give_it(limit_rps: float, percentile: float) -> None:
    slo = Slo(percentile, 100)
    rates = [limit_rps * factor for factor in (0.9, 0.97, 1.02)]
    found = limit_of(*((rate, exact(rate, limit_rps, slo=slo)) for rate in rates), slo=slo)
    assert found.rate_rps == pytest.approx(limit_rps, rel=0.05)
    assert found.least_rps <= found.rate_rps <= found.most_rps


@pytest.mark.thorough
def test_the_interval_has_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    rates = (90.0, 96.0, 100.0, 105.0)
    inside = 0
    for _ in range(200):
        looks = [(rate, Evidence(2000, int(rng.binomial(2000, mm1_late(rate, 100))), 1.0)) for rate in rates]
        found = limit_of(*looks, expected=Expected(90, 0.25))
        inside += found.least_rps <= 100 <= found.most_rps
    assert inside >= 200 * 0.95 - 4 * math.sqrt(200 * 0.95 * 0.05)


def test_more_requests_make_it_narrower_and_requests_that_are_late_together_wider() -> None:
    few, many = (limit_of((500, Evidence(n, n // 100, 1.0))) for n in (1_000, 10_000))
    together = limit_of((500, Evidence(10_000, 100, 10.0)))
    assert many.width < few.width
    assert together.width == pytest.approx(few.width)


@pytest.mark.parametrize("misses", [0, 1000])
def test_looks_that_all_hold_or_all_fail_tell_one_end(misses: int) -> None:
    found = limit_of((200, Evidence(1000, misses, 1.0)))
    if misses:
        assert found.most_rps < 200
    else:
        assert found.least_rps > 150
    assert found.width > 0.25


def test_without_a_look_it_is_what_is_expected() -> None:
    found = limit_of(expected=Expected(300, 0.25))
    assert found.rate_rps == pytest.approx(300, rel=0.02)
    assert found.least_rps < 150


def test_looks_that_contradict_each_other_make_it_less_sure() -> None:
    agree = [(rate, exact(rate, 100, 2000)) for rate in (94.0, 98.0, 100.0, 102.0, 104.0)]
    # The last three see a server that is slower by a tenth.
    changed = [*agree[:2], *((rate, exact(rate, 90, 2000)) for rate, _ in agree[2:])]
    assert limit_of(*changed).width > 1.2 * limit_of(*agree).width


def test_a_stray_look_with_some_late_requests_far_below_changes_little() -> None:
    looks = [(rate, exact(rate, 500)) for rate in (480.0, 500.0, 520.0)]
    with_stray = limit_of((250, Evidence(2000, 5, 1.0)), *looks)
    assert with_stray.rate_rps == pytest.approx(limit_of(*looks).rate_rps, rel=0.02)


def test_rates_beside_the_limit_are_on_its_line() -> None:
    found = limit_of(*((rate, exact(rate, 500)) for rate in (480.0, 500.0, 520.0)))
    assert found.rate_of(1.0) == found.rate_rps
    assert mm1_late(found.rate_of(2.5), 500) == pytest.approx(0.025, rel=0.3)


def test_a_closed_loop_that_told_too_little_does_not_hold_the_limit_down() -> None:
    looks = [(rate, exact(rate, 200)) for rate in (150.0, 190.0, 205.0, 215.0)]
    found = limit_of(*looks, expected=Expected(37, 0.25, capacity_rps=50))
    assert found.rate_rps == pytest.approx(200, rel=0.03)


def test_a_limit_is_not_expected_above_what_a_closed_loop_reached() -> None:
    hold = (380, Evidence(2000, 0, 1.0))
    assert limit_of(hold, expected=Expected(300, 0.25, capacity_rps=400)).rate_rps < 410
    assert limit_of(hold, expected=Expected(300, 0.25)).most_rps > 450


# What is expected before any look.


def test_half_the_probability_is_within_the_spread() -> None:
    found = fitted(P99_100MS, [], Expected(300, 0.1), 0.5)
    assert found.least_rps == pytest.approx(300 * math.exp(-0.1), rel=0.02)
    assert found.most_rps == pytest.approx(300 * math.exp(0.1), rel=0.02)


def test_whatever_was_expected_it_is_within_16_times_of_it() -> None:
    found = fitted(P99_100MS, [], Expected(300, 5.0), 1 - 1e-9)
    assert (found.least_rps, found.most_rps) == (pytest.approx(300 / 16), pytest.approx(300 * 16))


@pytest.mark.parametrize(
    ("limit_rps", "slope"),
    [(300, pytest.approx(0.9 * 300 * 0.1, rel=0.02)), (10, 3.0), (10_000, 60.0)],
)
def test_the_share_that_is_late_grows_as_that_of_a_queue_does(limit_rps: float, slope: float) -> None:
    assert limit_of(expected=Expected(limit_rps, 0.01)).slope == slope


# What looks say.


@pytest.mark.parametrize(("share", "other", "alike"), [(0.065, 0.5, True), (0.055, 0.065, False)])
def test_beyond_six_times_the_allowed_share_all_are_alike(share: float, other: float, alike: bool) -> None:
    one, two = (limit_of((200, Evidence(1000, int(1000 * each), 1.0))) for each in (share, other))
    assert (one == two) == alike


@pytest.mark.parametrize(("looks", "times"), [(3, (0.9, 1.1)), (4, (2.0, 9.0))])
def test_it_takes_four_looks_to_tell_that_they_scatter(looks: int, times: tuple[float, float]) -> None:
    """As many are late in all, but now a few and now many."""
    agree, scatter = [25] * looks, [10, 40, 25] if looks == 3 else [10, 40, 10, 40]
    widths = [limit_of(*((100, Evidence(2000, n, 1.0)) for n in each)).width for each in (agree, scatter)]
    assert times[0] < widths[1] / widths[0] < times[1]


def test_a_look_without_a_request_says_nothing() -> None:
    look = (95, Evidence(2000, 8, 1.0))
    assert limit_of(look, (95, Evidence(0, 0, 1.0))) == limit_of(look)


# What follows from a limit.


def known_within(width: float) -> Limit:
    return Limit(100, 100 * math.exp(-width), 100 * math.exp(width), 2.0)


def test_its_width_is_how_far_the_ends_are_from_the_middle() -> None:
    assert known_within(0.05).width == pytest.approx(0.05)


def test_four_times_as_many_are_late_at_twice_the_rate_where_the_slope_is_2() -> None:
    assert known_within(0.1).rate_of(4.0) == pytest.approx(200)


def test_where_it_is_hardly_known_the_middle_tells_most() -> None:
    assert [known_within(0.3).telling_rate(looks) for looks in (4, 5)] == [100, 100]


def test_where_it_is_known_the_middle_and_a_rate_above_it_tell_most_in_turns() -> None:
    above = known_within(0.2).rate_of(2.5)
    assert [known_within(0.2).telling_rate(looks) for looks in (4, 5, 6)] == [100, above, 100]
    assert Limit(1, 1, math.exp(0.5), 2.0).telling_rate(1) > 1  # just a quarter


def test_a_tolerance_is_that_of_its_ends() -> None:
    assert known_within(0.048).is_within(0.05)
    assert not known_within(0.05).is_within(0.05)
    assert Limit(1, 1, 1, 2.0).is_within(0.0)


@pytest.mark.parametrize(
    ("held", "stops", "ends"),
    [
        ([50, 90], [], None),  # latencies are the limit
        ([50, 90], [111], None),  # which is surely below
        ([50, 90], [110], (90, 110)),
        ([50, 90], [200, 95], (90, 95)),
        ([95, 90], [95], (90, 95)),  # once it held, once it failed
        ([], [95], (0.0, 95)),
        ([100.5], [105], None),  # a longer look held above what the latencies say
        ([100], [105], (100, 105)),
    ],
)
def test_where_something_else_fails_that_is_the_end(
    held: list[float], stops: list[float], ends: tuple[float, float] | None
) -> None:
    assert Limit(100, 90, 110, 2.0).stopped(held, stops) == ends
