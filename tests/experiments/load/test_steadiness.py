"""Times of answers -> is their rate steady, does it drift?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.load.steadiness import drift, shown_change, steady
from experiments.verdict.stats import Floats


def batches(every_s: Floats | float, of: int, until_s: float, workers: int = 1) -> Floats:
    """The times of answers of `workers`, each of which answers a batch of `of` in every so many seconds."""
    periods = np.broadcast_to(every_s, (int(until_s / np.min(every_s)) + 1,))
    ends = np.cumsum(periods)
    all_ends = np.concatenate([ends + worker * np.min(every_s) / workers for worker in range(workers)])
    return np.sort(np.repeat(all_ends[all_ends <= until_s], of))


@given(
    period_s=st.floats(0.002, 0.4),
    of=st.integers(1, 128),
    workers=st.integers(1, 4),
    until_s=st.floats(1.0, 5.0),
)
def test_batches_at_an_even_pace_are_steady_whatever_their_size(
    period_s: float, of: int, workers: int, until_s: float
) -> None:
    ends_s = batches(period_s, of, until_s, workers)
    if ends_s.size:
        assert steady(ends_s, until_s)
    assert drift(ends_s, until_s) == 0


def test_a_rate_that_still_grows_is_not_steady_until_it_has_levelled_off() -> None:
    levels_off_s, full_rps = 2.0, 1000.0
    density = np.linspace(0, 6, 60_000)
    served = np.cumsum(full_rps * np.minimum(1, density / levels_off_s)) * (density[1] - density[0])
    ends_s = density[np.searchsorted(served, np.arange(1, int(served[-1])))]
    assert not steady(ends_s[ends_s <= 1.0], 1.0)
    assert not steady(ends_s[ends_s <= 2.0], 2.0)
    assert steady(ends_s[ends_s <= 6.0], 6.0)


def test_nothing_is_not_steady() -> None:
    assert not steady(np.array([]), 1.0)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_drift_is_told_with_its_size(factor: float) -> None:
    ends_s = np.concatenate([np.arange(0.005, 2.0, 0.01), np.arange(2.005, 4.0, 0.01 / factor)])
    assert drift(ends_s, 4.0) == pytest.approx(2 * (factor - 1) / (factor + 1), abs=0.02)


def test_a_small_drift_is_none() -> None:
    ends_s = np.concatenate([np.arange(0.005, 2.0, 0.01), np.arange(2.005, 4.0, 0.0095)])
    assert drift(ends_s, 4.0) == 0
    assert shown_change(ends_s, 0.0, 2.0, 4.0) > 0


def test_random_arrivals_at_one_rate_are_rarely_taken_for_a_drift() -> None:
    random = np.random.default_rng(5)
    flagged = sum(drift(np.cumsum(random.exponential(0.02, 400)), 4.0) != 0 for _ in range(300))
    assert flagged <= 9  # 1 % are allowed to be: 9 of 300 has a probability of 0.3 %
