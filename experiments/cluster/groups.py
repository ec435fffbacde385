"""What a card is given at once: configurations that share a server, each in both arms."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from experiments.measure.again import due_again
from experiments.plan import Cell, Plan, Trial
from experiments.plan.trial import estimated_s
from experiments.results import TrialResult
from experiments.results.cards.sittings import family

PIECES_A_CARD = 2  # so that the end is even though some take longer than estimated


@dataclass(frozen=True, slots=True)
class Group:
    """What a card is given at once. `takes_s` is an estimate of what is left of it. `begun_on` is the card
    that has begun it, in a run that is resumed: what is left belongs there."""

    cells: tuple[Cell, ...]
    takes_s: float
    begun_on: str | None = None

    def without(self, done: Collection[Cell]) -> "Group | None":
        """What is left of it when these families are measured to the end; None when nothing is."""
        cells = tuple(cell for cell in self.cells if family(cell) not in done)
        return replace(self, cells=cells, begun_on=None) if cells else None


def groups_left(plan: Plan, results: Sequence[TrialResult], cards: int = 1) -> list[Group]:
    """The groups of a plan that are not measured yet, or not to the end, in the plan's order of measuring.

    `results` are those of one card each (results/cards/sittings.py). The twin is in none of them: every card
    measures it. Configurations that can share a server share a group, as long as each of `cards` has several.
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
    single = [Group(cells[key], estimated_s(trials), begun.get(key)) for key, trials in todo.items()]
    return _joined(single, sum(group.takes_s for group in single) / (PIECES_A_CARD * cards))


def _joined(groups: Sequence[Group], most_s: float) -> list[Group]:
    """Neighbours that can share a server, together for as long as they take no more than `most_s`."""
    found: list[Group] = []
    for group in groups:
        last = found[-1] if found else None
        if last and _may_join(last, group) and last.takes_s + group.takes_s <= most_s:
            found[-1] = replace(last, cells=last.cells + group.cells, takes_s=last.takes_s + group.takes_s)
        else:
            found.append(group)
    return found


def _may_join(one: Group, other: Group) -> bool:
    same_server = one.cells[0].without_mps.started_with == other.cells[0].without_mps.started_with
    return same_server and one.begun_on == other.begun_on


def _by_family(cells: Iterable[Cell]) -> dict[Cell, tuple[Cell, ...]]:
    found: dict[Cell, dict[Cell, None]] = {}
    for cell in cells:
        found.setdefault(family(cell), {})[cell] = None
    return {key: tuple(each) for key, each in found.items()}
