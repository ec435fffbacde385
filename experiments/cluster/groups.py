"""The cells that stay together on one card: a configuration in both arms, at every limit of MPS."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.measure.again import due_again
from experiments.plan import Cell, Plan, Trial
from experiments.plan.trial import estimated_s
from experiments.results import TrialResult
from experiments.results.cards.sittings import family


@dataclass(frozen=True, slots=True)
class Group:
    """`takes_s` is an estimate of what is left of it. `begun_on` is the card that has begun it, in a run that
    is resumed: what is left belongs there."""

    cells: tuple[Cell, ...]
    takes_s: float
    begun_on: str | None = None

    @property
    def family(self) -> Cell:
        """By which results of it are known."""
        return family(self.cells[0])


def groups_left(plan: Plan, results: Sequence[TrialResult]) -> list[Group]:
    """The groups of a plan that are not measured yet, or not to the end, in the plan's order of measuring.

    `results` are those of one card each (results/cards/sittings.py). The twin is none of them: every card
    measures it.
    """
    planned = [trial for trial in plan.trials() if not trial.cell.twin]
    done = {(result.trial.cell, result.trial.run) for result in results}
    left = [trial for trial in planned if (trial.cell, trial.run) not in done]
    again = [trial for trial in due_again(plan, results) if not trial.cell.twin]
    cells = _by_family(trial.cell for trial in planned)
    begun = {family(result.trial.cell): result.card for result in results}
    todo: dict[Cell, list[Trial]] = {}
    for trial in [*left, *again]:
        todo.setdefault(family(trial.cell), []).append(trial)
    return [Group(cells[key], estimated_s(trials), begun.get(key)) for key, trials in todo.items()]


def _by_family(cells: Iterable[Cell]) -> dict[Cell, tuple[Cell, ...]]:
    found: dict[Cell, dict[Cell, None]] = {}
    for cell in cells:
        found.setdefault(family(cell), {})[cell] = None
    return {key: tuple(each) for key, each in found.items()}
