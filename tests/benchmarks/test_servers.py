"""What the comparison of servers makes of its turns."""

from pathlib import Path

import pytest

from benchmarks.parts.rivals import Figures, middle
from benchmarks.parts.two_models import SMALL_FOR_A_LARGE, plan_of
from benchmarks.servers import _over_best_other, _ratios


def turn(throughput_rps: float) -> Figures:
    return Figures(throughput_rps, 1.0, 2.0, 3.0, 4.0, 0.5, 6.0)


def test_figures_have_their_median_each_by_itself() -> None:
    assert middle([turn(1.0), turn(5.0), turn(3.0)]) == turn(3.0)


def test_a_ratio_is_that_of_turns_beside_each_other_and_the_lowest_of_the_models_counts() -> None:
    first = {"torchserve": [turn(200.0), turn(20.0)], "triton": [turn(100.0), turn(10.0)]}
    second = {"torchserve": [turn(8.0)], "triton": [turn(1.0)]}
    assert _ratios([first, second]) == {"over_triton": pytest.approx(2.0)}


def test_ours_is_compared_with_the_best_other() -> None:
    assert _over_best_other({"torchserve": 6.0, "triton": 3.0, "litserve": 4.0}) == 1.5
    assert _over_best_other({"torchserve": 6.0, "triton": 0.0}) is None


def test_of_two_models_the_small_one_is_asked_more_often() -> None:
    small, large = plan_of(["torchserve"], [Path("small.mar"), Path("large.mar")], 24.0).models
    assert small.rate_rps == SMALL_FOR_A_LARGE * large.rate_rps
