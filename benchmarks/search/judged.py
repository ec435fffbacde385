"""What a strategy found, beside what the whole grid says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, sqrt

import numpy as np

from benchmarks.search.strategies import Strategy
from benchmarks.search.world import Recorded, World
from experiments.plan import Bound, Cell, Goal, goal_from
from experiments.results.counting import by_cell, counting
from experiments.results.figures import known
from experiments.search import rules_of
from experiments.search.evidence import logs_of
from experiments.search.worth import worth_finding
from experiments.verdict.stats import noise_floor

USELESS = 1.0  # the regret of no choice, and of one that breaks a bound
LEAST_NOISE = 0.03


@dataclass(frozen=True)
class Truth:
    """What all recorded runs say of a goal."""

    recorded: Recorded
    goal: Goal

    @cached_property
    def noise(self) -> float:
        """How much of the best means nothing: how far apart a cell and its twin are, but 3 % at least, since
        two cells may be equal by chance."""
        runs = by_cell(self.recorded.results)
        twin = next((cell for cell in runs if cell.twin), None)
        pair = [] if twin is None else [runs[replace(twin, twin=False)], runs[twin]]
        figures = [known(self.goal, counting(own)) for own in pair]
        return max(LEAST_NOISE, noise_floor(*figures) - 1 if figures else 0.0)

    @cached_property
    def right(self) -> frozenset[Cell]:
        """The grid's best, and what is as good but for noise."""
        return frozenset(cell for cell in self.medians if self.regret(cell) <= self.noise)

    @cached_property
    def medians(self) -> dict[Cell, float]:
        """The goal's figure of the cells whose medians keep the bounds."""
        found = {}
        for cell, runs in self.recorded.runs.items():
            keeps = [np.median(known(bound, runs) or [np.inf]) < bound.limit for bound in self.goal.bounds]
            if all(keeps) and (figures := known(self.goal, [run for run in runs if run.valid])):
                found[cell] = float(np.median(figures))
        return found

    @cached_property
    def could_tell(self) -> float:
        """How much less than the best, as a share, all runs of the grid could just tell by the race's test;
        5 % at most: what a search thinks worth finding, by the noise of all recorded runs."""
        logs = [logs_of(self.goal, runs) for runs in self.recorded.runs.values()]
        squares = sum(float(((each - each.mean()) ** 2).sum()) for each in logs if each.size)
        noise = sqrt(squares / sum(each.size - 1 for each in logs if each.size))
        rules = replace(rules_of(self.recorded.plan), goal=self.goal)
        return 1 - exp(-worth_finding(self.recorded.plan, rules, noise))

    def regret(self, cell: Cell | None) -> float:
        """How much less than the best a cell gives, as a share of that."""
        if cell not in self.medians:
            return USELESS
        return 1 - self.medians[cell] / max(self.medians.values())


@dataclass(frozen=True, slots=True)
class Judged:
    """A strategy over many seeds: how often it was right, how often what it chose is not worse by more than
    the grid could tell, its time as a share of the grid's, its regret, and the runs and cells measured."""

    right_share: float
    untold_share: float
    time_share_median: float
    time_share_p90: float
    regret_median: float
    regret_p90: float
    runs_median: float
    cells_median: float


def judged(truth: Truth, strategy: Callable[[], Strategy], seeds: int) -> Judged:
    """Replays a strategy with each seed."""
    found = [_played(truth, strategy(), seed) for seed in range(seeds)]
    right, shares, regrets, runs, cells = (np.array(each) for each in zip(*found, strict=True))
    return Judged(
        right_share=float(right.mean()),
        untold_share=float((regrets <= max(truth.noise, truth.could_tell)).mean()),
        time_share_median=float(np.median(shares)),
        time_share_p90=float(np.quantile(shares, 0.9)),
        regret_median=float(np.median(regrets)),
        regret_p90=float(np.quantile(regrets, 0.9)),
        runs_median=float(np.median(runs)),
        cells_median=float(np.median(cells)),
    )


def _played(truth: Truth, strategy: Strategy, seed: int) -> tuple[bool, float, float, int, int]:
    world = World(truth.recorded, seed)
    while asked := strategy.next(world):
        for cell in asked:
            world.measure(cell)
    choice = strategy.choice(world)
    tried = len({each.trial.cell for each in world.results})
    share = world.spent_s / truth.recorded.grid_s
    return choice in truth.right, share, truth.regret(choice), len(world.results), tried


def goals_for(recorded: Recorded) -> Sequence[Goal]:
    """Throughput, the plan's own goal, and throughput with a p99 that half of the cells keep."""
    tails_ms = [np.median(known(Bound("p99", 1.0), runs) or [np.inf]) for runs in recorded.runs.values()]
    bound = Bound("p99", float(f"{np.median(tails_ms):.2g}"))
    return list(dict.fromkeys([Goal(), goal_from(recorded.plan.goal), Goal(bounds=(bound,))]))
