"""A plain Bayesian optimiser, as one would write it with scikit-learn: what a search is compared with."""

import warnings
from collections.abc import Sequence
from dataclasses import fields
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.search.world import World
from experiments.plan import Bound, Cell, Goal
from experiments.search.evidence import logs_of

Floats = npt.NDArray[np.float64]


def most_promising(world: World, goal: Goal, untried: Sequence[Cell]) -> Cell:
    """The untried cell with the greatest expected improvement on the best so far, times its chance to keep
    the bounds."""
    features = dict(zip(world.cells, _features(world.cells), strict=True))
    mean, spread = _predicted(world, goal, features, untried)
    z = (mean - _best(world, goal)) / spread
    gain = spread * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
    for bound in goal.bounds:
        bounded, off = _predicted(world, bound, features, untried)
        gain = gain * ndtr((log(bound.limit) - bounded) / off)
    return untried[int(np.argmax(gain))]


def _best(world: World, goal: Goal) -> float:
    """The best log so far of what keeps the bounds; of all where nothing does."""
    keeping = [
        each
        for each in world.results
        if all(logs_of(bound, [each]).max(initial=-np.inf) < log(bound.limit) for bound in goal.bounds)
    ]
    return float(logs_of(goal, keeping or world.results).max())


def _predicted(
    world: World, asked: Goal | Bound, features: dict[Cell, Floats], cells: Sequence[Cell]
) -> tuple[Floats, Floats]:
    """Mean and spread of the logs of `cells`, by a Gaussian process over what was measured."""
    measured = [each for each in world.results if logs_of(asked, [each]).size]
    at = np.array([features[each.trial.cell] for each in measured])
    logs = np.array([float(logs_of(asked, [each])[0]) for each in measured])
    kernel = ConstantKernel() * Matern(np.ones(at.shape[1]), (0.1, 10.0), nu=2.5) + WhiteKernel(0.01)
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at a bound of a length: as it may be
        process.fit(at, logs)
        mean, spread = process.predict(np.array([features[cell] for cell in cells]), return_std=True)
    return mean, np.maximum(spread, 1e-9)


def _features(cells: Sequence[Cell]) -> list[Floats]:
    """Numbers on log scale from 0 to 1, names one-hot."""
    columns: list[Floats] = []
    for field in fields(Cell):
        own = [getattr(cell, field.name) for cell in cells]
        if len(set(own)) > 1:
            columns += _columns(own)
    return list(np.array(columns).T)


def _columns(values: Sequence[Any]) -> list[Floats]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        logs = np.log(np.array(values, float))
        return [(logs - logs.min()) / (logs.max() - logs.min())]
    return [np.array([value == name for value in values], float) for name in dict.fromkeys(values)]
