"""A plan carried out on the cards of a cluster: schedule.py says who measures what, kept.py keeps it."""

import math
import time
from collections.abc import Collection
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.shown import command
from experiments.cluster.cards import Cards
from experiments.cluster.groups import Group, groups_left
from experiments.cluster.kept import Kept
from experiments.cluster.messages import Again, Doing, Done, Event, Failed, Finished, Lost, Measure, Warned
from experiments.cluster.schedule import Schedule
from experiments.measure import Progress
from experiments.plan import Cell, Plan, Trial
from experiments.results import TrialResult
from experiments.results.cards.sittings import family
from experiments.results.folder import open_for_append

LOOK_S = 1.0  # how long to wait for a card's word


def carry_out(plan: Plan, folder: Path, progress: Progress, cards: Cards) -> None:
    """Measures on `cards`, which are equipped, every trial of `plan` that `folder` doesn't hold yet.

    Each trial is on disk as soon as its card has told it. A card that is lost, or fails, is left out with a
    warning; what it had begun is measured anew on another one. Ends early when the plan's budget is spent.
    Raises ExperimentError when no card is left, or where a cell has cost two of them, UsageError for what no
    card can measure; what was measured until then stays.
    """
    with open_for_append(folder) as file:
        _Run(plan, folder, progress, cards, Kept(plan, folder, file)).until_over()


class _Run:
    """One carry_out."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress, cards: Cards, kept: Kept) -> None:
        self._plan, self._folder, self._progress = plan, folder, progress
        self._cards, self._kept = cards, kept
        self._twin = next(cell for cell in plan.cells() if cell.twin)
        self._known = kept.counting()
        self._planned = plan.trials()
        self._twins = [trial for trial in self._planned if trial.cell.twin]
        self._earlier: dict[Cell, list[TrialResult]] = {}
        for result in self._known:
            self._earlier.setdefault(family(result.trial.cell), []).append(result)
        self._groups = groups_left(plan, self._known, len(cards.names))
        checked = [card for card in cards.names if len(kept.check_of(card)) >= plan.runs]
        self._schedule = Schedule(self._groups, cards.names, checked)
        self._ends_s = math.inf if plan.budget_s is None else time.monotonic() + plan.budget_s
        self._at: dict[str, Group | None] = {}  # None: its check
        self._left: dict[str, set[tuple[Cell, int]]] = {}  # of what it is at
        self._runs = range(1, plan.runs + 1)
        self._doing: dict[str, str] = {}

    def until_over(self) -> None:
        """Until all is measured, or the budget spent."""
        self._complete_twin()
        if todo := self._todo():
            self._progress.planned(todo, self._kept.number, at_once=len(self._schedule.cards))
        for card in self._schedule.cards:
            self._set_to_work(card)
        while self._at:
            for card, event in self._cards.happened(LOOK_S):
                self._hear(card, event)
        if time.monotonic() > self._ends_s:
            resume = command("--resume", self._folder)
            self._progress.warn(f"the budget of {self._plan.budget_s:g} s is spent: {resume} goes on")

    def _complete_twin(self) -> None:
        """A driver that was killed may have left the first configuration measured, and not yet its twin."""
        first = family(self._twin)
        on = next((each.card for each in self._known if each.trial.cell == first), None)
        has_twin = any(each.trial.cell.twin for each in self._known)
        left = {cell for group in self._groups for cell in group.cells}
        if on is not None and not has_twin and first not in left:
            self._kept.take_twin_from(on)

    def _todo(self) -> list[Trial]:
        cells = {cell for group in self._groups for cell in group.cells}
        done = {(each.trial.cell, each.trial.run) for each in self._known if each.card in self._cards.names}
        return [each for each in self._planned if each.cell in cells and (each.cell, each.run) not in done]

    def _set_to_work(self, card: str) -> None:
        """Gives an idle card what is next, where there is anything and time for it."""
        left_s = self._ends_s - time.monotonic()
        work = self._schedule.next_for(card) if left_s > 0 else None
        if work is None:
            return
        self._at[card] = work.group
        budget_s = None if math.isinf(left_s) else left_s
        if work.group is None:
            check = self._kept.check_of(card)
            for trial in self._twins:
                self._progress.again(trial)
            self._cards.give(card, Measure((self._twin,), tuple(check), budget_s))
        else:
            self._left[card] = {(cell, run) for cell in work.group.cells for run in self._runs}
            earlier = self._begun(work.group)
            self._left[card] -= {(each.trial.cell, each.trial.run) for each in earlier}
            self._cards.give(card, Measure(work.group.cells, tuple(earlier), budget_s))

    def _begun(self, group: Group) -> list[TrialResult]:
        """What the group's card has measured of it before, where it goes back to that card."""
        if group.begun_on is None:
            return []
        families = dict.fromkeys(family(cell) for cell in group.cells)
        begun = [each for key in families for each in self._earlier.get(key, ())]
        return [each for each in begun if not each.trial.cell.twin]

    def _hear(self, card: str, event: Event) -> None:
        if card not in self._at:  # it was left out meanwhile
            return
        match event:
            case Finished():
                add = self._kept.add_check if self._at[card] is None else self._kept.add
                self._progress.finished(add(card, event))
                self._left.get(card, set()).discard((event.result.trial.cell, event.result.trial.run))
            case Doing():
                self._doing[card] = f"{event.trial.cell}: {event.what}"
                self._progress.at_cards(self._doing)
            case Again():
                self._progress.again(event.trial)
            case Warned():
                self._progress.warn(f"{card}: {event.message}")
            case Done():
                self._done(card)
            case Failed():
                self._failed(card, event)
            case Lost():
                self._lost(card, ExperimentError(f"{card} is lost: {event.why}"))

    def _done(self, card: str) -> None:
        group = self._at.pop(card)
        self._doing.pop(card, None)
        self._schedule.done(card)
        if group is not None:
            self._settle_twin(card, group, self._left.pop(card))
        self._set_to_work(card)

    def _settle_twin(self, card: str, group: Group, left: Collection[tuple[Cell, int]]) -> None:
        """Once a card has measured the first configuration to the end, its check is the plan's twin."""
        first = family(self._twin)
        if first in {family(cell) for cell in group.cells} - {family(cell) for cell, _ in left}:
            self._kept.take_twin_from(card)

    def _failed(self, card: str, event: Failed) -> None:
        """What no card can measure ends it all; else this card is left out."""
        if event.exit_code == UsageError.exit_code:
            raise UsageError(event.message)
        self._lost(card, ExperimentError(f"{card}: {event.message}", event.details))

    def _lost(self, card: str, error: ExperimentError) -> None:
        """Raises `error` where no card is left, or where the cell has cost too many of them."""
        group, left = self._at.pop(card), self._left.pop(card, set())
        self._doing.pop(card, None)
        unfinished = {family(cell) for cell, _ in left}
        done = {family(cell) for cell in group.cells} - unfinished if group else set()
        if group is not None:
            self._settle_twin(card, group, left)
        too_costly = self._schedule.lost(card, done)
        if too_costly is not None or not self._schedule.cards:
            raise error
        self._progress.warn(f"{error}; its cell is measured anew on another card")
        for idle in self._schedule.cards:  # those that had nothing left to do
            if idle not in self._at:
                self._set_to_work(idle)
