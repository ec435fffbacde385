"""How probable it is that a cell keeps a bound, by the median that the full grid will have of it."""

from math import log

import numpy as np
import pytest

from experiments.base.arrays import Floats
from experiments.search.axes import axes_of
from experiments.search.belief import FLAT
from experiments.search.bounds import chances_to_keep
from experiments.search.surface import Expected, surface
from tests.experiments.search.grids import SMALL

CELLS = SMALL.cells()
LIMIT_MS = 250.0


def chances(of_first_ms: list[float], runs: int = 3, expected_ms: float = LIMIT_MS) -> Floats:
    """Of all cells, when the first one has had runs with these p99."""
    expected = Expected(np.full(len(CELLS), log(expected_ms)), np.full(len(CELLS), 0.3), **FLAT)
    logs = [np.log(of_first_ms), *[np.array([])] * (len(CELLS) - 1)]
    seen = {0: logs[0]} if of_first_ms else {}
    bounded = surface(axes_of(CELLS), expected, seen)
    return chances_to_keep(log(LIMIT_MS), logs, bounded, max(1, len(of_first_ms)), runs)


def test_with_all_its_runs_the_median_decides() -> None:
    assert chances([324, 229, 232])[0] == 1  # whose mean is 257 ms
    assert chances([127, 260, 251])[0] == 0
    assert chances([249, 251, 249, 251], runs=4)[0] == 1  # the middle of an even number, on log scale
    assert chances([240, 245, 262, 300, 230, 235], runs=3)[0] == 1  # all that there are count


def test_two_runs_of_three_on_one_side_are_enough() -> None:
    assert chances([229, 232])[0] == 1
    assert chances([324, 262])[0] == 0


def test_one_run_of_two_leaves_a_chance_until_the_next() -> None:
    assert 0.2 < chances([232, 262])[0] < 0.8
    assert 0.5 < chances([200])[0] < 1
    assert 0 < chances([300])[0] < 0.5


def test_of_four_runs_two_are_the_middle() -> None:
    """Half of a chance is that both are below, half that the lower one is."""
    assert 0 < chances([324, 330], runs=4)[0] < 0.5
    assert 0.5 < chances([200, 205, 324], runs=4)[0] < 1


def test_what_was_not_measured_is_as_likely_as_it_is_expected() -> None:
    assert chances([]) == pytest.approx(0.5)
    assert chances([], expected_ms=100).min() > 0.7
    assert chances([], expected_ms=600).max() < 0.3


def test_runs_of_one_cell_tell_of_its_neighbours() -> None:
    near, far = chances([120, 125]), chances([480, 490])
    assert near[1:].min() > 0.5 > far[1:].max()
