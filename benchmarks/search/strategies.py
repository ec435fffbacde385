"""Who looks for the best cell: each says what to measure next, and in the end what it would use."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np

from benchmarks.search.bayesian import most_promising
from benchmarks.search.world import World
from experiments.plan import Cell, Goal
from experiments.predict.predicted import Predictor
from experiments.results import by_cell
from experiments.search import Rules, outcome, rules_of
from experiments.search.evidence import logs_of
from experiments.search.race import next_runs, standing

BUDGET = 0.1  # of the grid's time, for those that don't know when to stop
AT_RANDOM_FIRST = 5  # cells, before a Bayesian optimiser has something to go by


class Strategy(ABC):
    """Looks for the best cell for a `goal`."""

    name = ""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    @abstractmethod
    def next(self, world: World) -> Sequence[Cell]:
        """What to measure now; nothing at the end."""

    def choice(self, world: World) -> Cell | None:
        """What it would use: of the cells that keep the bounds the one with the highest median."""
        return best_of(world, self.goal, world.cells)

    def within_budget(self, world: World, cell: Cell) -> Sequence[Cell]:
        """The cell, if its run ends before a tenth of the grid's time is over."""
        fits = world.spent_s + world.would_take_s(cell) <= BUDGET * world.recorded.grid_s
        return [cell] if fits else []


def best_of(world: World, goal: Goal, cells: Sequence[Cell]) -> Cell | None:
    """Of `cells` the one with the highest median of those whose medians keep the bounds."""
    runs = by_cell(world.results)
    medians = {cell: float(np.median(logs_of(goal, runs[cell]))) for cell in cells if cell in runs}
    keeping = [
        cell
        for cell in medians
        if all(np.median(logs_of(bound, runs[cell])) < log(bound.limit) for bound in goal.bounds)
    ]
    return max(keeping, key=lambda cell: medians[cell], default=None)


class AtRandom(Strategy):
    """A cell that was not tried, whichever."""

    name = "random"

    def next(self, world: World) -> Sequence[Cell]:
        untried = world.untried
        return self.within_budget(world, world.random.choice(untried)) if untried else []


class Bayesian(Strategy):
    """A few cells at random, then those with the greatest expected improvement by a Gaussian process."""

    name = "plain Bayesian"

    def next(self, world: World) -> Sequence[Cell]:
        untried = world.untried
        if not untried:
            return []
        if len(world.results) < AT_RANDOM_FIRST:
            return self.within_budget(world, world.random.choice(untried))
        return self.within_budget(world, most_promising(world, self.goal, untried))


class Race(Strategy):
    """--until-sure."""

    name = "--until-sure"

    def rules(self, world: World) -> Rules:
        return replace(rules_of(world.plan), goal=self.goal)

    def next(self, world: World) -> Sequence[Cell]:
        return [trial.cell for trial in next_runs(world.plan, world.results, self.rules(world))]

    def choice(self, world: World) -> Cell | None:
        return next(iter(standing(world.plan, world.results, self.rules(world)).contenders), None)


class Search(Strategy):
    """--search, with a prediction or without."""

    def __init__(self, goal: Goal, predictor: Predictor | None = None, name: str = "--search") -> None:
        super().__init__(goal)
        self.predictor, self.name = predictor, name

    def next(self, world: World) -> Sequence[Cell]:
        rules = replace(rules_of(world.plan), goal=self.goal)
        found = outcome(world.plan, world.results, self.predictor, rules)
        return [found.next_cell] if found.next_cell else []

    def choice(self, world: World) -> Cell | None:
        rules = replace(rules_of(world.plan), goal=self.goal)
        contenders = outcome(world.plan, world.results, self.predictor, rules).standing.contenders
        return best_of(world, self.goal, contenders)
