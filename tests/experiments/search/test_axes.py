"""How alike cells are by the settings that tell them apart."""

from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest

from experiments.plan import Cell, Plan
from experiments.search.axes import Axis, axes_of, typical

PLAN = Plan(workers=(1, 2, 4), batch_size=(8,), noise_floor=False)
ONE, TWO, FOUR = PLAN.cells()

# What a value tells of another that is half the axis away on log scale, and of one at its other end.
HALF, WHOLE = ((1 + sqrt(5) * far + 5 * far**2 / 3) * exp(-sqrt(5) * far) for far in (0.5, 1.0))


def the_axis(*cells: Cell) -> Axis:
    (axis,) = axes_of(cells)
    return axis


def test_numbers_are_as_alike_as_they_are_near_on_log_scale() -> None:
    axis = the_axis(ONE, TWO, FOUR)
    assert axis.name == "workers"
    assert axis.alike == pytest.approx(np.array([[1, HALF, WHOLE], [HALF, 1, HALF], [WHOLE, HALF, 1]]))


def test_two_numbers_are_the_ends_of_their_axis() -> None:
    assert the_axis(TWO, FOUR).alike[0, 1] == pytest.approx(WHOLE)


def test_names_switches_and_no_value_are_like_themselves_only() -> None:
    names = the_axis(replace(ONE, engine="torch"), replace(ONE, engine="openvino"))
    switches = the_axis(replace(ONE, mps=True), replace(ONE, mps=False))
    for axis in (names, switches):
        assert np.array_equal(axis.alike, np.eye(2))
    shares = [replace(ONE, thread_percentage=share) for share in (None, 50, 100)]
    assert the_axis(*shares).alike == pytest.approx(np.array([[1, 0, 0], [0, 1, WHOLE], [0, WHOLE, 1]]))


def test_0_is_on_no_log_scale() -> None:
    delays = [replace(ONE, batch_delay_ms=delay) for delay in (0, 10, 20)]
    assert the_axis(*delays).alike == pytest.approx(np.array([[1, 0, 0], [0, 1, WHOLE], [0, WHOLE, 1]]))


def test_a_single_cell_has_no_axis() -> None:
    assert axes_of([ONE]) == ()
    assert np.array_equal(typical((), 1), [0.0])


def test_cells_are_as_alike_as_their_values() -> None:
    axis = the_axis(FOUR, ONE, ONE, TWO)
    assert list(axis.values_of) == [0, 1, 1, 2]
    found = axis.between(np.array([0, 1]), np.array([2, 3]))
    assert found == pytest.approx(np.array([[WHOLE, HALF], [1, HALF]]))


def test_a_cell_is_typical_by_what_it_tells_of_all_on_every_axis() -> None:
    assert typical(axes_of([ONE, TWO, FOUR]), 3) == pytest.approx(
        np.array([1 + HALF + WHOLE, 1 + 2 * HALF, 1 + HALF + WHOLE]) / 3
    )
    thrice = [ONE, replace(ONE, mps=True), replace(TWO, mps=True)]
    assert typical(axes_of(thrice), 3) == pytest.approx(
        np.array([(2 + WHOLE) + 1, (2 + WHOLE) + 2, (1 + 2 * WHOLE) + 2]) / 3
    )
