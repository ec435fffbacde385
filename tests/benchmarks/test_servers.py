"""What the comparison of servers makes of its turns."""

from pathlib import Path

import pytest

from benchmarks.parts.rivals import Figures, middle
from benchmarks.parts.two_models import SMALL_FOR_A_LARGE, over_best, plan_of
from benchmarks.servers import _ratios, _rounded
from experiments.together.search import Decision


def turn(throughput_rps: float) -> Figures:
    return Figures(throughput_rps, 1.0, 2.0, 3.0, 4.0, 0.5, 6.0)


def test_figures_have_their_median_each_by_itself() -> None:
    assert middle([turn(1.0), turn(5.0), turn(3.0)]) == turn(3.0)


def test_a_ratio_is_that_of_turns_beside_each_other_and_the_lowest_of_the_models_counts() -> None:
    first = {"torchserve": [turn(200.0), turn(20.0)], "triton": [turn(100.0), turn(10.0)]}
    second = {"torchserve": [turn(8.0)], "triton": [turn(1.0)]}
    assert _ratios([first, second]) == {"over_triton": pytest.approx(2.0)}


def decided(factor: float, least: float, most: float | None) -> Decision:
    return Decision(factor, least, most, looks=10, sure=False)


# As docs/several-models.md tells them, in requests/s of the large model.
MEASURED = {
    "torchserve": decided(5.0, 3.7, 8.7),
    "triton": decided(5.1, 3.8, 10.7),
    "litserve": decided(4.8, 3.7, 7.0),
    "bentoml": decided(3.2, 2.6, 4.7),
}
NONE = decided(0.0, 0.0, 0.25)


def test_ours_is_compared_with_the_best_other_and_the_interval_is_that_of_both() -> None:
    ratio, interval = over_best(MEASURED, "torchserve")
    assert ratio == pytest.approx(5.0 / 5.1)
    assert interval == pytest.approx((0.441, 1.836), abs=0.001)


def test_an_interval_of_two_parts_is_that_of_one_where_the_other_is_known() -> None:
    known = {"torchserve": decided(6.0, 3.0, 9.0), "triton": decided(2.0, 2.0, 2.0)}
    assert over_best(known, "torchserve") == (3.0, pytest.approx((1.5, 4.5)))


def test_which_of_the_others_is_best_is_unsure_too() -> None:
    close = MEASURED | {"litserve": decided(4.8, 4.5, 12.0)}
    assert over_best(close, "torchserve")[1] == pytest.approx((0.396, 1.730), abs=0.001)


def test_an_end_that_nobody_knows_stays_open() -> None:
    open_above = {"torchserve": decided(6.0, 5.0, None), "triton": decided(3.0, 3.0, 3.0)}
    assert over_best(open_above, "torchserve") == (2.0, (pytest.approx(5 / 3), None))
    open_below = {"torchserve": decided(6.0, 6.0, 6.0), "triton": decided(3.0, 2.0, None)}
    assert over_best(open_below, "torchserve") == (2.0, (0.0, pytest.approx(3.0)))


def test_a_server_that_keeps_the_bound_at_no_rate_has_no_interval() -> None:
    assert over_best({"torchserve": decided(6.0, 5.0, 7.0), "triton": NONE}, "torchserve") == (None, None)
    assert over_best({"torchserve": NONE, "triton": decided(6.0, 5.0, 7.0)}, "torchserve") == (0.0, None)


def test_what_is_told_has_four_digits() -> None:
    assert _rounded(0.123456) == 0.1235
    assert _rounded((0.123456, None)) == [0.1235, None]
    assert _rounded(None) is None


def test_of_two_models_the_small_one_is_asked_more_often() -> None:
    small, large = plan_of(["torchserve"], [Path("small.mar"), Path("large.mar")], 24.0).models
    assert small.rate_rps == SMALL_FOR_A_LARGE * large.rate_rps
