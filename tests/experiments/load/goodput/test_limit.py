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
