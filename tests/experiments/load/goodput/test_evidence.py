"""What a sample says of a bound, each time worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.load.goodput.evidence import Evidence, at_most, evidence, judge
from experiments.plan import Slo

MEDIAN_100MS = Slo(50, 100)  # as many may be late as not: probabilities are those of tossing coins
P99_100MS = Slo(99, 100)

# A tenth of 100 requests, two of 20 blocks of five: the variance of the blocks' shares of late ones is
# (18 x 0.1² + 2 x 0.9²) / 19, that of independent ones 0.1 x 0.9 / 5.
TENTH_TOGETHER = (18 * 0.1**2 + 2 * 0.9**2) / 19 / (0.1 * 0.9 / 5)


# Counting


def test_a_request_that_takes_as_long_as_the_bound_keeps_it() -> None:
    assert evidence(P99_100MS, np.array([0.05, 0.1, 0.2])) == Evidence(3, 1, 1.0)


def test_late_together_they_say_as_much_as_fewer_alone() -> None:
    latency_s = np.where(np.arange(100) < 90, 0.01, 0.2)
    found = evidence(P99_100MS, latency_s)
    assert (found.requests, found.misses) == (100, 10)
    assert found.inflation == pytest.approx(TENTH_TOGETHER)
    assert found.independent == pytest.approx(100 / TENTH_TOGETHER)


def test_where_none_is_late_the_slowest_tenth_tells_how_they_hang_together() -> None:
    slower_and_slower_s = np.linspace(0.001, 0.05, 100)
    found = evidence(P99_100MS, slower_and_slower_s)
    assert (found.misses, found.inflation) == (0, pytest.approx(TENTH_TOGETHER))


def test_those_at_the_bound_do_not_count_as_late_there_either() -> None:
    latency_s = np.where(np.arange(100) < 80, 0.1, 0.2)
    fifth_together = (16 * 0.2**2 + 4 * 0.8**2) / 19 / (0.2 * 0.8 / 5)
    assert evidence(P99_100MS, latency_s).inflation == pytest.approx(fifth_together)


def test_late_at_regular_distances_they_do_not_say_more_than_independent_ones() -> None:
    every_tenth_s = np.where(np.arange(200) % 10 == 0, 0.2, 0.01)
    assert evidence(P99_100MS, every_tenth_s) == Evidence(200, 20, 1.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("latency_s", [0.01, 0.2])
def test_all_alike_say_nothing_of_how_they_hang_together(latency_s: float) -> None:
    assert evidence(P99_100MS, np.full(200, latency_s)).inflation == 1.0


@pytest.mark.parametrize(("requests", "hang_together"), [(99, False), (100, True)])
def test_it_takes_twenty_blocks_of_five_to_tell(requests: int, hang_together: bool) -> None:
    late_at_first_s = np.where(np.arange(requests) < 10, 0.2, 0.01)
    assert (evidence(P99_100MS, late_at_first_s).inflation > 1) == hang_together


# Judging


@pytest.mark.parametrize(
    ("misses", "chance", "verdict"),
    [(1, 11 / 1024, "holds"), (2, 56 / 1024, "holds"), (9, 11 / 1024, "fails"), (8, 56 / 1024, "fails")],
)
def test_ten_coins_show_so_few_heads_or_so_many_in_so_many_of_1024_cases(
    misses: int, chance: float, verdict: str
) -> None:
    assert judge(MEDIAN_100MS, Evidence(10, misses, 1.0), chance * 1.001) == verdict
    assert judge(MEDIAN_100MS, Evidence(10, misses, 1.0), chance * 0.999) == "unsure"


def test_a_risk_that_is_just_reached_is_taken() -> None:
    assert judge(MEDIAN_100MS, Evidence(10, 1, 1.0), at_most(1, 10, 0.5)) == "holds"
    assert judge(MEDIAN_100MS, Evidence(10, 9, 1.0), 1 - at_most(8, 10, 0.5)) == "fails"


def test_twenty_requests_that_say_as_much_as_ten_are_judged_like_ten() -> None:
    assert judge(MEDIAN_100MS, Evidence(20, 2, 2.0), 0.011) == "holds"
    assert judge(MEDIAN_100MS, Evidence(20, 18, 2.0), 0.011) == "fails"
    assert (
        judge(MEDIAN_100MS, Evidence(20, 3, 2.0), 0.011) == "unsure"
    )  # 1.5 count as 2, for either end as less


# The binomial distribution


@pytest.mark.parametrize(("n", "share"), [(0, 0.5), (1, 0.5), (10, 0.01), (20, 0.3)])
def test_it_is_summed_exactly(n: int, share: float) -> None:
    exact = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    for count in range(-1, n + 1):
        assert at_most(count, n, share) == pytest.approx(sum(exact[: count + 1]))


@given(n=st.integers(0, 2000), count=st.integers(0, 2000), share=st.floats(0.0001, 0.5))
def test_a_probability_is_never_above_1_and_just_that_for_all_of_them(
    n: int, count: int, share: float
) -> None:
    assert 0 <= at_most(count, n, share) <= 1
    assert at_most(n, n, share) == 1
