"""A recorded grid as a world to search in: a run that is asked for is one of those that were measured.

It costs what it cost then: its warm-up, its window, what passes between two runs, and where the server or the
model is another than before, what it took on the median to start or load one. These are told by the times at
which the recorded runs began.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import median

from experiments.base.errors import UsageError
from experiments.measure.campaign import JUST_STARTED
from experiments.plan import Cell, Plan
from experiments.results import Ceilings, TrialResult, by_cell, counting, read_ceilings
from experiments.results.folder import read_plan, read_trials

# How a run comes after another: of the same model as it is loaded, of another one, on another server.
SAME, LOADED, STARTED = range(3)


@dataclass(frozen=True)
class Recorded:
    """A whole grid. `between_s`: what passes between the runs, by how one comes after another."""

    name: str
    plan: Plan
    results: tuple[TrialResult, ...]
    ceilings: Ceilings | None
    between_s: tuple[float, float, float]

    @cached_property
    def runs(self) -> dict[Cell, list[TrialResult]]:
        """Of each cell those that count; where none is valid, all."""
        own = by_cell([each for each in self.results if not each.trial.cell.twin])
        return {cell: counting(runs) or runs for cell, runs in own.items()}

    @cached_property
    def grid_s(self) -> float:
        """What all of it took, the twin and what was measured again included."""
        befores = [None, *(each.trial.cell for each in self.results[:-1])]
        return sum(self.takes_s(each, before) for each, before in zip(self.results, befores, strict=True))

    def takes_s(self, result: TrialResult, before: Cell | None) -> float:
        """What a run takes after one of `before`."""
        kind = coming_after(before, result.trial.cell)
        warm_up_s = self.plan.warm_up_s * (JUST_STARTED if kind == STARTED else 1)
        return warm_up_s + result.window_s + self.between_s[kind]


def recorded_in(folder: Path) -> Recorded:
    """Reads the folder of a whole grid. Raises UsageError where a cell was never measured, and what reading
    raises."""
    plan = read_plan(folder)
    results = sorted(read_trials(folder, plan), key=lambda each: _began_s(each))
    measured = {each.trial.cell for each in results}
    if missing := [cell for cell in plan.cells() if cell not in measured]:
        raise UsageError(f"{folder} holds no whole grid: {len(missing)} cells were never measured")
    return Recorded(folder.name, plan, tuple(results), read_ceilings(folder), _between_s(results))


def coming_after(before: Cell | None, cell: Cell) -> int:
    """SAME, LOADED or STARTED."""
    if before is None or before.started_with != cell.started_with:
        return STARTED
    return SAME if before.registration == cell.registration else LOADED


def _between_s(results: Sequence[TrialResult]) -> tuple[float, float, float]:
    """Medians of what passes between runs beside their warm-ups and windows; where a kind never came, that of
    the next lower one."""
    found: dict[int, list[float]] = {SAME: [], LOADED: [], STARTED: []}
    for one, other in pairwise(results):
        spent_s = one.trial.load.warm_up_s + one.window_s
        found[coming_after(one.trial.cell, other.trial.cell)].append(
            _began_s(other) - _began_s(one) - spent_s
        )
    same_s = median(found[SAME] or [0.0])
    loaded_s = median(found[LOADED] or [same_s])
    return same_s, loaded_s, median(found[STARTED] or [loaded_s])


def _began_s(result: TrialResult) -> float:
    return datetime.fromisoformat(result.started_at).timestamp()


class World:
    """A grid that is measured anew, one run after another; what comes out is drawn with `seed`."""

    def __init__(self, recorded: Recorded, seed: int) -> None:
        self.recorded, self.plan = recorded, recorded.plan
        self.random = random.Random(seed)
        self.results: list[TrialResult] = []
        self.spent_s = 0.0
        self._in_order = {cell: self._shuffled(runs) for cell, runs in recorded.runs.items()}

    @property
    def cells(self) -> list[Cell]:
        return list(self._in_order)

    @property
    def untried(self) -> list[Cell]:
        """The cells without a run."""
        tried = {each.trial.cell for each in self.results}
        return [cell for cell in self._in_order if cell not in tried]

    def measure(self, cell: Cell) -> None:
        """Another run of a cell: of those recorded, each once in a random order, then any of them."""
        runs = self._in_order[cell]
        number = sum(each.trial.cell == cell for each in self.results)
        drawn = runs[number] if number < len(runs) else self.random.choice(runs)
        before = self.results[-1].trial.cell if self.results else None
        load = self.plan.load_of(cell)
        trial = replace(drawn.trial, load=load, run=number + 1, position=len(self.results), attempt=0)
        self.results.append(replace(drawn, trial=trial))
        self.spent_s += self.recorded.takes_s(drawn, before)

    def would_take_s(self, cell: Cell) -> float:
        """What the next run of a cell takes, about."""
        before = self.results[-1].trial.cell if self.results else None
        return self.recorded.takes_s(self._in_order[cell][0], before)

    def _shuffled(self, runs: Iterable[TrialResult]) -> list[TrialResult]:
        found = list(runs)
        self.random.shuffle(found)
        return found
