"""What is believed of every cell of a plan, measured or not: its figure, and whether it keeps the bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtr

from experiments.base.arrays import Floats
from experiments.plan import Bound, Cell, Goal
from experiments.predict.predicted import Predictor
from experiments.results.trial_result import TrialResult
from experiments.search.axes import Axis, axes_of
from experiments.search.bounds import chances_to_keep
from experiments.search.evidence import Seen, logs_of
from experiments.search.surface import Expected, Surface, surface

# Where nothing is predicted: a setting may well make a figure 1.5 times as large, combinations 1.15 times.
FLAT = {"common": 1.0, "along": 0.4, "crossed": 0.15}
# Where it is: a quarter of its own variance lies in combinations, the rest along the axes; and it may be off
# by a factor common to all, such as another machine's.
COMMON, CROSSED = 0.5, 0.5
LEAST_SPREAD = 0.02
# That spread is told for throughputs; the tail of the latencies is harder to tell.
LATENCIES = {"p50": 1.0, "p95": 1.5, "p99": 2.0}
LEAST = 1e-6  # a spread is never nothing
DRAWS = 4000
NEGLIGIBLE = 1e-4  # chances that are not drawn for, but added up
MOST_DRAWN_FOR = 0.2  # a single chance beyond it tells enough

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Belief:
    """`figure`: the goal's, of all cells. `keeps` (cells,): how probable it is that a cell keeps all bounds,
    as the full grid would judge it.

    `freedom` is that of Student's t for what is said of them: the spreads are estimated from so many runs.
    """

    figure: Surface
    keeps: Floats
    freedom: int

    def lead(self, leader: int) -> tuple[Floats, Floats]:
        """By how much each cell's log is above the leader's, and the spread of that: (cells,) each."""
        variance = self.figure.spread**2 + self.figure.spread[leader] ** 2
        apart = variance - 2 * self.figure.with_cell(leader)
        return self.figure.mean - self.figure.mean[leader], np.sqrt(np.maximum(apart, LEAST**2))

    def chance_above(self, leader: int, worth: float) -> Floats:
        """How probable it is that each cell keeps the bounds and is above the leader by more than `worth`, on
        log scale; 0 for the leader."""
        lead, spread = self.lead(leader)
        found: Floats = self.keeps * stdtr(self.freedom, (lead - worth) / spread)
        found[leader] = 0.0
        return found

    def chance_any_above(self, leader: int, worth: float, cells: Flags) -> float:
        """How probable it is that any of `cells` keeps the bounds, and is above the leader by more than that.

        What is believed of cells that are alike goes together, so that this is much less than the sum of
        their chances: drawn from all of them at once, always the same draws.
        """
        chances = np.where(cells, self.chance_above(leader, worth), 0.0)
        among = np.flatnonzero(chances > NEGLIGIBLE)
        negligible = float(chances[chances <= NEGLIGIBLE].sum())
        if not among.size or chances.max() > MOST_DRAWN_FOR:
            return float(min(1.0, chances.max(initial=0.0) + negligible))
        rng = np.random.default_rng(0)
        own, theirs = np.array([leader]), self.figure.covariance(among, np.array([leader]))
        apart = self.figure.covariance(among, among) - theirs - theirs.T
        sizes, ways = np.linalg.eigh(apart + self.figure.covariance(own, own))
        normal = rng.standard_normal((DRAWS, among.size)) * np.sqrt(np.maximum(sizes, 0.0)) @ ways.T
        heavier = np.sqrt(rng.chisquare(self.freedom, (DRAWS, 1)) / self.freedom)  # Student's t
        leads = self.figure.mean[among] - self.figure.mean[leader] + normal / heavier
        above = (leads > worth) & (rng.random(leads.shape) < self.keeps[among])
        return min(1.0, float(above.any(axis=1).mean()) + negligible)

    def gain(self, leader: int) -> Floats:
        """The improvement on the leader that measuring each cell may bring, on log scale: the expected
        improvement of Jones, Schonlau and Welch (1998), times the chance that the bounds are kept."""
        lead, spread = self.lead(leader)
        z = lead / spread
        found: Floats = self.keeps * spread * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
        found[leader] = 0.0
        return found


def counted_runs(attempts: Seen) -> dict[Cell, list[TrialResult]]:
    """The runs of each cell that say something of all: where most are undisturbed, these alone, and of a cell
    that has none of them nothing. What one disturbed run says of its neighbours would be wrong of each."""
    valid = {cell: [run for run in runs if run.valid] for cell, runs in attempts.items()}
    quiet = {cell: [run for run in runs if not run.disturbed] for cell, runs in valid.items()}
    return quiet if 2 * sum(map(len, quiet.values())) > sum(map(len, valid.values())) else valid


def believed(attempts: Seen, goal: Goal, predictor: Predictor | None, runs: int) -> Belief:
    """What the runs of some cells, and a prediction where there is one, say of all in a grid of so many
    runs."""
    cells = tuple(attempts)
    axes = axes_of(cells)
    counted = dict(enumerate(counted_runs(attempts).values()))
    freedom = max(1, sum(map(len, counted.values())))
    keeps = np.ones(len(cells))
    for bound in goal.bounds:
        bounded = _surface(axes, cells, counted, bound, predictor)
        logs = [logs_of(bound, own) for own in counted.values()]
        keeps *= chances_to_keep(log(bound.limit), logs, bounded, freedom, runs)
    return Belief(_surface(axes, cells, counted, goal, predictor), keeps, freedom)


def _surface(
    axes: Sequence[Axis],
    cells: Sequence[Cell],
    counted: Mapping[int, Sequence[TrialResult]],
    asked: Goal | Bound,
    predictor: Predictor | None,
) -> Surface:
    logs = {index: own for index, runs in counted.items() if (own := logs_of(asked, runs)).size}
    return surface(axes, _expected(cells, asked, predictor, len(axes)), logs)


def _expected(cells: Sequence[Cell], asked: Goal | Bound, predictor: Predictor | None, axes: int) -> Expected:
    """What is expected of all cells before anything is measured; of what nobody predicts, nothing."""
    what = asked.figure if isinstance(asked, Goal) else asked.name
    if predictor is None or what not in ("throughput", *LATENCIES):
        return Expected(np.zeros(len(cells)), np.ones(len(cells)), **FLAT)
    predicted = [predictor(cell) for cell in cells]
    spreads = np.maximum([each.log_sd for each in predicted], LEAST_SPREAD) * LATENCIES.get(what, 1.0)
    if what in LATENCIES:
        figures = [getattr(each, f"{what}_ms") for each in predicted]
    else:
        figures = [own.throughput_rps * cell.client_batch for own, cell in zip(predicted, cells, strict=True)]
    along = sqrt((1 - CROSSED**2) / max(1, axes))
    return Expected(np.log(figures), spreads, common=COMMON, along=along, crossed=CROSSED)
