"""Times between and beyond the batch sizes that were measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.predict.curve import curve

points = st.dictionaries(st.integers(1, 128), st.floats(0.01, 1e4), min_size=1, max_size=8)


def test_between_two_sizes_it_is_a_straight_line() -> None:
    found = curve([(1, 10.0), (4, 25.0)])
    assert found.at(2) == pytest.approx(15)
    assert found.distance(2) == "between"
    assert found.distance(4) == "measured"


def test_above_the_last_size_the_last_line_goes_on() -> None:
    found = curve([(1, 10.0), (4, 25.0), (8, 45.0)])
    assert found.at(16) == pytest.approx(85)
    assert found.distance(16) == "beyond"


def test_below_the_first_size_it_shrinks_no_faster_than_the_size() -> None:
    assert curve([(4, 25.0), (8, 45.0)]).at(1) == pytest.approx(10)
    assert curve([(4, 20.0), (8, 60.0)]).at(2) == pytest.approx(10)


def test_a_single_size_is_scaled() -> None:
    assert curve([(8, 40.0)]).at(2) == pytest.approx(10)


def test_a_larger_batch_that_took_less_is_noise() -> None:
    found = curve([(1, 5.0), (2, 9.0), (4, 7.0), (8, 20.0)])
    assert [found.at(size) for size in (1, 2, 4, 8)] == [5, 8, 8, 20]


def test_no_point_no_curve() -> None:
    with pytest.raises(ValueError, match="needs a point"):
        curve([])


@given(points, st.integers(1, 256))
def test_no_batch_is_quicker_than_a_smaller_one(measured: dict[int, float], size: int) -> None:
    found = curve(measured.items())
    assert 0 < found.at(size) <= found.at(size + 1) * (1 + 1e-9)


@given(points)
def test_it_stays_within_what_was_measured(measured: dict[int, float]) -> None:
    found = curve(measured.items())
    for size in measured:
        assert min(measured.values()) * (1 - 1e-9) <= found.at(size) <= max(measured.values()) * (1 + 1e-9)


def test_between_and_beyond_the_ends_it_is_told_how_far_a_size_is() -> None:
    found = curve([(2, 10.0), (4, 25.0)])
    told = [found.distance(size) for size in (1, 2, 3, 4, 5)]
    assert told == ["beyond", "measured", "between", "measured", "beyond"]


def test_below_the_first_size_it_follows_the_first_line_as_long_as_that_is_slower() -> None:
    found = curve([(4, 25.0), (8, 45.0), (12, 100.0)])
    assert found.at(3) == pytest.approx(20)
    assert curve([(4, 25.0), (8, 29.0)]).at(2) == pytest.approx(23)


def test_of_several_batches_that_took_less_all_get_the_mean() -> None:
    found = curve([(1, 10.0), (2, 6.0), (4, 5.0), (8, 20.0)])
    assert [found.at(size) for size in (1, 2, 4, 8)] == [7, 7, 7, 20]


def test_batches_that_took_as_long_stay_as_they_were() -> None:
    assert curve([(2, 5.0), (1, 5.0)]).points == ((1, 5.0), (2, 5.0))
