"""A Gaussian process over the cells of a plan: what few measured cells say of all."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from experiments.search.axes import axes_of, typical
from experiments.search.belief import FLAT
from experiments.search.surface import Expected, _Parts, _Seen, _unlikeliness, surface
from tests.experiments.search.grids import GRID, served_rps

CELLS = GRID.cells()
AXES = axes_of(CELLS)
NOTHING = Expected(np.zeros(len(CELLS)), np.ones(len(CELLS)), **FLAT)
LOGS = np.log([served_rps(cell) for cell in CELLS])


def test_the_axes_are_the_settings_that_differ() -> None:
    assert [axis.name for axis in AXES] == ["workers", "batch_size", "batch_delay_ms"]
    batches = AXES[1]
    assert np.allclose(np.diag(batches.alike), 1)
    one, two, *_, most = batches.alike[0]
    assert one > two > most > 0


def test_what_lies_in_the_middle_is_most_typical() -> None:
    middle = CELLS[int(np.argmax(typical(AXES, len(CELLS))))]
    assert middle.batch_size in (4, 8)
    assert middle.batch_delay_ms in (5, 20)


def test_what_was_measured_is_known_and_its_neighbours_nearly_so() -> None:
    measured = {index: LOGS[index : index + 1] for index in range(0, len(CELLS), 5)}
    found = surface(AXES, NOTHING, measured)
    at = np.array(list(measured))
    rest = np.setdiff1d(np.arange(len(CELLS)), at)
    assert np.abs(found.mean - LOGS)[at].max() < 0.05
    assert np.abs(found.mean - LOGS)[rest].max() < 0.25
    assert found.spread[at].max() < found.spread[rest].min()


def test_its_spreads_are_as_large_as_its_errors() -> None:
    rng = np.random.default_rng(1)
    off = []
    for _ in range(20):
        at = rng.choice(len(CELLS), 12, replace=False)
        runs = {int(index): LOGS[index] + 0.03 * rng.standard_normal(1) for index in at}
        found = surface(AXES, NOTHING, runs)
        rest = np.setdiff1d(np.arange(len(CELLS)), at)
        off += list(((found.mean - LOGS) / found.spread)[rest])
    assert 0.8 <= np.mean(np.abs(off) < 2) <= 1.0


def test_before_anything_is_measured_it_is_what_is_expected() -> None:
    found = surface(AXES, NOTHING, {})
    assert np.array_equal(found.mean, NOTHING.logs)
    assert np.allclose(found.with_cell(0)[0], found.spread[0] ** 2)


def test_the_covariance_of_a_cell_with_itself_is_its_variance() -> None:
    found = surface(AXES, NOTHING, {0: LOGS[:1], 7: LOGS[7:8]})
    for cell in (0, 3, 7, 40):
        assert found.with_cell(cell)[cell] == pytest.approx(found.spread[cell] ** 2, abs=1e-9)


def test_the_gradient_of_the_fit_is_right() -> None:
    at = np.array([0, 5, 11, 30])
    parts = _Parts(AXES, NOTHING)
    seen = _Seen(parts.between(at, at), LOGS[at] - LOGS[at].mean(), np.array([1.0, 2.0, 1.0, 3.0]), 0.01)
    believed = np.log([*parts.usual, 0.04])
    fixed = (seen, 1.0, believed, np.full(believed.size, 0.8))

    def value(logs: np.ndarray) -> float:
        return _unlikeliness(logs, *fixed)[0]

    def gradient(logs: np.ndarray) -> np.ndarray:
        return _unlikeliness(logs, *fixed)[1]

    assert check_grad(value, gradient, believed + 0.3) < 1e-4
