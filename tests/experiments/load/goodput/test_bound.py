"""Reading a bound, and what a sample proves about it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.load.goodput.evidence import Evidence, at_most, evidence, judge
from experiments.plan import Slo, parse_slo

P99_100MS = Slo(99, 100)


# The bound.


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("p99=100ms", Slo(99, 100)),
        ("p50<5ms", Slo(50, 5)),
        (" p99.9 <= 1.5s ", Slo(99.9, 1500)),
    ],
)
def test_a_bound_is_read_as_it_is_written(text: str, slo: Slo) -> None:
    assert parse_slo(text) == slo
    assert parse_slo(str(slo)) == slo


@pytest.mark.parametrize("text", ["", "100ms", "p99", "p99=100", "p99>100ms", "p100=1s", "p0=1s", "p99=0ms"])
def test_what_is_no_bound_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"p99|above 0"):
        parse_slo(text)


# What a sample proves.


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (10, 0.01), (20, 0.3)])
def test_the_binomial_distribution_is_summed_exactly(n: int, share: float) -> None:
    exact = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    for count in range(-1, n + 1):
        assert at_most(count, n, share) == pytest.approx(sum(exact[: count + 1]))


@given(n=st.integers(0, 10**6), count=st.integers(0, 10**4), share=st.floats(0.0001, 0.5))
def test_a_probability_stays_one(n: int, count: int, share: float) -> None:
    assert 0 <= at_most(count, n, share) <= at_most(count + 1, n, share) * (1 + 1e-9) <= 1 + 1e-9


def test_a_p99_needs_three_hundred_requests_for_95_percent() -> None:
    assert judge(Slo(99, 100), Evidence(299, 0, 1.0), 0.05) == "holds"
    assert judge(Slo(99, 100), Evidence(298, 0, 1.0), 0.05) == "unsure"


@pytest.mark.parametrize(
    ("requests", "misses", "verdict"),
    [(1000, 0, "holds"), (1000, 10, "unsure"), (1000, 30, "fails"), (100, 100, "fails"), (0, 0, "unsure")],
)
def test_few_misses_hold_many_fail_and_the_allowed_number_says_nothing(
    requests: int, misses: int, verdict: str
) -> None:
    assert judge(P99_100MS, Evidence(requests, misses, 1.0), 0.02) == verdict


def test_requests_that_are_late_together_say_less() -> None:
    rng = np.random.default_rng(1)
    alone = np.where(rng.random(10_000) < 0.02, 0.2, 0.05)
    together = np.sort(alone)  # all misses at the end
    assert evidence(P99_100MS, alone).misses == evidence(P99_100MS, together).misses
    assert evidence(P99_100MS, alone).inflation < 2.5
    assert evidence(P99_100MS, together).inflation > 50
    assert judge(P99_100MS, evidence(P99_100MS, alone), 0.01) == "fails"
    assert judge(P99_100MS, evidence(P99_100MS, together), 0.01) == "unsure"


def test_one_hiccup_in_a_good_sample_proves_nothing() -> None:
    latency_s = np.full(2000, 0.01)
    latency_s[1000:1100] = 0.5
    assert judge(P99_100MS, evidence(P99_100MS, latency_s), 0.0125) == "unsure"


@pytest.mark.thorough
def test_verdicts_are_wrong_as_rarely_as_they_say() -> None:
    # Exactly 1 % are late: neither verdict is right, so each that is given is wrong.
    rng = np.random.default_rng(2)
    verdicts = [
        judge(
            P99_100MS,
            evidence(P99_100MS, np.where(rng.random(4000) < 0.01, 0.2, rng.random(4000) / 10)),
            0.025,
        )
        for _ in range(1000)
    ]
    assert 1000 * 0.025 + 4 * math.sqrt(1000 * 0.025) > max(verdicts.count("holds"), verdicts.count("fails"))
