"""A Gaussian process over the cells of a plan: what the measured ones say of all, each with how sure that is.

What is expected before anything is measured (a prediction, or nothing) is corrected by a constant, by a curve
along each axis, and by what is particular to combinations of values. How large each of these is, and the
noise of a run, is fitted with every new run: Rasmussen and Williams, Gaussian Processes for Machine Learning,
chapters 2 and 5. Everything is on log scale, so that a correction is a factor. scikit-learn has such a
process too, but takes seconds to import, and does not have these kernels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from experiments.base.arrays import Floats
from experiments.search.axes import Axis, Indices

# What is believed of the spreads before anything is measured: their usual size, and how far off that may be.
NOISE, NOISE_MAY_BE_OFF = 0.05, 0.4
SPREAD_MAY_BE_OFF = 0.4
FARTHEST = 4.0  # on log scale: no fit leaves what is believed by more
STEADY = 1e-10  # keeps a matrix of equal rows invertible


@dataclass(frozen=True, slots=True)
class Expected:
    """Before anything is measured: `logs` (cells,) with their `spreads` (cells,), and that of a factor common
    to all. `along` is how large the spread along one axis is of `spreads`, `crossed` that of combinations."""

    logs: Floats
    spreads: Floats
    common: float
    along: float
    crossed: float


@dataclass(frozen=True, slots=True)
class Surface:
    """What is known of all cells: the mean (cells,) and spread (cells,) of their true logs, and the noise of
    a run."""

    mean: Floats
    spread: Floats
    noise: float
    kernel: "_Kernel"
    at: Indices
    weights: Floats  # (measured, cells)

    def covariance(self, one: Indices, other: Indices) -> Floats:
        """Of the true logs of cells, by their numbers: (one, other)."""
        before = self.kernel.between(one, other)
        if not self.at.size:
            return before
        explained: Floats = self.kernel.between(one, self.at) @ self.weights[:, other]
        return before - explained

    def with_cell(self, cell: int) -> Floats:
        """The covariance of all cells with one: (cells,)."""
        return self.covariance(np.arange(self.mean.size), np.array([cell]))[:, 0]


def surface(axes: Sequence[Axis], expected: Expected, runs: Mapping[int, Floats]) -> Surface:
    """What the logs of the `runs` of some cells, by their numbers, say of all."""
    parts = _Parts(axes, expected)
    at = np.array(sorted(runs), np.intp)
    if not at.size:
        return _unmeasured(parts)
    counts = np.array([runs[cell].size for cell in at], float)
    means = np.array([runs[cell].mean() for cell in at])
    within = sum(float(np.sum((own - own.mean()) ** 2)) for own in runs.values())
    off = means - expected.logs[at]
    common = float(np.average(off, weights=counts))
    seen = _Seen(parts.between(at, at), off - common, counts, within)
    spreads, noise = _fit(seen, parts.usual, expected.common)
    kernel = _Kernel(parts, spreads, expected.common)
    own = kernel.between(at, at) + np.diag(noise**2 / counts + STEADY)
    factor = cho_factor(own, lower=True)
    everyone = np.arange(expected.logs.size)
    towards = kernel.between(everyone, at)
    weights = cho_solve(factor, towards.T)
    mean = expected.logs + common + weights.T @ seen.off
    variance = kernel.variances() - np.sum(towards * weights.T, axis=1)
    return Surface(mean, np.sqrt(np.maximum(variance, 0.0)), noise, kernel, at, weights)


def _unmeasured(parts: "_Parts") -> Surface:
    kernel = _Kernel(parts, parts.usual, parts.expected.common)
    none = np.empty(0, np.intp)
    mean, spread = parts.expected.logs, np.sqrt(kernel.variances())
    return Surface(mean, spread, NOISE, kernel, none, np.empty((0, mean.size)))


class _Parts:
    """The covariances that a kernel is made of: one along each axis, and one of combinations of values."""

    def __init__(self, axes: Sequence[Axis], expected: Expected) -> None:
        self.axes, self.expected = axes, expected
        usual = [expected.along] * len(axes) + [expected.crossed] * (len(axes) > 1)
        self.usual: Floats = np.array(usual)

    def between(self, one: Indices, other: Indices) -> Floats:
        """(parts, one, other)."""
        along = [axis.between(one, other) for axis in self.axes]
        spreads = np.outer(self.expected.spreads[one], self.expected.spreads[other])
        parts = [*along, *([_crossed(along)] if len(along) > 1 else [])]
        found: Floats = np.array([part * spreads for part in parts]).reshape(-1, one.size, other.size)
        return found


def _crossed(along: Sequence[Floats]) -> Floats:
    """Of all combinations of two axes or more, each alike as far as its axes are (an ANOVA kernel)."""
    combined = np.prod([1 + each for each in along], axis=0) - 1 - np.sum(along, axis=0)
    found: Floats = combined / (2 ** len(along) - 1 - len(along))
    return found


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Parts with their spreads, and a factor common to all cells."""

    parts: _Parts
    spreads: Floats
    common: float

    def between(self, one: Indices, other: Indices) -> Floats:
        found: Floats = self.common**2 + np.tensordot(self.spreads**2, self.parts.between(one, other), 1)
        return found

    def variances(self) -> Floats:
        """(cells,): a cell is wholly like itself."""
        return self.common**2 + self.parts.expected.spreads**2 * float(np.sum(self.spreads**2))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was measured: the covariances (parts, measured, measured), how far the means of the runs are off
    what was expected, their numbers, and the sum of squares within cells."""

    parts: Floats
    off: Floats
    counts: Floats
    within: float


def _fit(seen: _Seen, usual: Floats, common: float) -> tuple[Floats, float]:
    """The spreads of the parts and the noise that make what was seen, and what is usual, most likely."""
    from scipy.optimize import minimize  # takes a while to import, and most programs never search

    believed = np.log([*usual, NOISE])
    may_be_off = np.array([SPREAD_MAY_BE_OFF] * usual.size + [NOISE_MAY_BE_OFF])
    found = minimize(
        _unlikeliness,
        believed,
        (seen, common, believed, may_be_off),
        method="L-BFGS-B",
        jac=True,
        bounds=[(value - FARTHEST, value + FARTHEST) for value in believed],
    )
    *spreads, noise = np.exp(found.x)
    return np.array(spreads), float(noise)


def _unlikeliness(
    logs: Floats, seen: _Seen, common: float, believed: Floats, may_be_off: Floats
) -> tuple[float, Floats]:
    """Minus the log of the posterior density of the spreads and the noise, and its gradient."""
    squares = np.exp(2 * logs)
    noise = squares[-1]
    scaled = squares[:-1, None, None] * seen.parts
    own = common**2 + scaled.sum(axis=0) + np.diag(noise / seen.counts + STEADY)
    lower, _ = factor = cho_factor(own, lower=True)
    inverse = cho_solve(factor, np.eye(seen.off.size))
    weights = inverse @ seen.off
    freedom = float(seen.counts.sum()) - seen.off.size
    away = (logs - believed) / may_be_off
    value = seen.off @ weights / 2 + np.log(np.diag(lower)).sum()
    value += (freedom * np.log(noise) + seen.within / noise) / 2 + away @ away / 2
    steep = inverse - np.outer(weights, weights)  # Rasmussen and Williams, equation 5.9
    gradient = away / may_be_off
    gradient[:-1] += np.tensordot(scaled, steep, 2)
    gradient[-1] += noise * float(np.sum(np.diag(steep) / seen.counts)) + freedom - seen.within / noise
    return float(value), gradient
