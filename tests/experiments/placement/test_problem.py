"""Latencies by the rules, and what can't be placed at all, told in a line."""

import numpy as np
import pytest

from experiments.base.errors import UsageError
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.problem import Rules, UnplaceableError
from tests.experiments.placement.profiles import problem


class TestLatencies:
    def test_between_measured_batches_lie_on_the_line(self) -> None:
        found = LatencyTable([Measured("a", 50, 2, 10), Measured("a", 50, 4, 30)])
        assert found.curve("a", 50).tolist() == [np.inf, np.inf, 10, 20, 30]
        assert found.interpolated("a", 50, 3)
        assert not found.interpolated("a", 50, 2)

    def test_nothing_is_known_of_other_shares(self) -> None:
        found = LatencyTable([Measured("a", 50, 2, 10)])
        assert found.curve("a", 60).tolist() == [np.inf]
        assert not found.interpolated("a", 60, 2)

    def test_two_of_one_point_are_refused(self) -> None:
        with pytest.raises(UsageError, match="two latencies, 10 and 11 ms"):
            LatencyTable([Measured("a", 50, 2, 10), Measured("a", 50, 2, 11)])

    def test_of_nothing_are_refused(self) -> None:
        with pytest.raises(UsageError, match="was never measured"):
            LatencyTable([Measured("a", 50, 0, 10)])


def test_host_ratio_and_neighbours_add_up() -> None:
    rules = Rules(latency_ratio=1.1, host_ms={"a": [0, 5, 6]})
    found = problem(("a", 1, 1000), rules=rules).latency_ms(0, 100, factor=2.0)
    assert found[1] == pytest.approx((2 * 2 + 5) * 1.1)
    assert found[2] == pytest.approx((3 * 2 + 6) * 1.1)
    assert found[3] == pytest.approx((4 * 2 + 6) * 1.1)


def test_alone_two_batches_fit_into_the_bound() -> None:
    assert problem(("a", 1, 20)).alone(0, 100) == (9, 10.0)
    assert problem(("a", 1, 5)).alone(0, 20) == (0, float("inf"))


class TestWhatCantBePlaced:
    def test_a_model_without_a_profile(self) -> None:
        with pytest.raises(UsageError, match="c: the profile has no c, only a, b"):
            problem(("c", 1, 100))

    def test_a_bound_that_no_batch_of_one_meets(self) -> None:
        with pytest.raises(UnplaceableError, match="bound of 3 ms can't be kept, 4 ms could"):
            problem(("a", 1, 3))

    def test_a_ratio_below_what_was_measured(self) -> None:
        with pytest.raises(UsageError, match="promises more than was measured"):
            Rules(latency_ratio=0.9)
