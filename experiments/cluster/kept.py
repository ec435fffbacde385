"""What the driver keeps of a cluster's trials: each on its disk as it comes, under a number of its own."""

from dataclasses import replace
from pathlib import Path
from typing import IO

from experiments.cluster.messages import Finished
from experiments.measure.again import next_position
from experiments.plan import Plan
from experiments.results import TrialResult
from experiments.results.cards.folders import card_folder
from experiments.results.cards.sittings import last_sittings, of_one_card, sit_down
from experiments.results.folder import append, open_for_append, read_trials


class Kept:
    """The trials of a results folder open for append. What adding costs does not grow with their number."""

    def __init__(self, plan: Plan, folder: Path, file: IO[bytes]) -> None:
        self._folder, self._file = folder, file
        self._results = read_trials(folder, plan)
        self._sittings = last_sittings(self._results)
        self._next = next_position(plan, self._results)
        self.number = len(self._results)
        self.worked = any(result.valid for result in self._results)

    def counting(self) -> list[TrialResult]:
        """What was there at the beginning, of each family's last card."""
        return of_one_card(self._results)

    def add(self, card: str, finished: Finished) -> TrialResult:
        """Puts a trial on disk, as it is numbered here: where another card had begun its cell, its attempts
        come after those of that one."""
        trial = finished.result.trial
        sitting = sit_down(self._sittings, trial.cell, card)
        attempt = sitting.first_attempt + trial.attempt
        sitting.last_attempt = max(sitting.last_attempt, attempt)
        position = trial.position
        if attempt:
            position, self._next = self._next, self._next + 1
        placed = replace(trial, attempt=attempt, position=position)
        result = replace(finished.result, trial=placed, card=card)
        append(self._folder, self._file, result, finished.requests)
        self.number += 1
        self.worked = self.worked or result.valid
        return result

    def add_check(self, card: str, finished: Finished) -> TrialResult:
        """Puts a trial of a card's check into the folder of the card."""
        its = card_folder(self._folder, card)
        result = replace(finished.result, card=card)
        with open_for_append(its) as file:
            append(its, file, result, finished.requests)
        return result

    def check_of(self, card: str) -> list[TrialResult]:
        """What is there of a card's check."""
        return read_trials(card_folder(self._folder, card))

    def take_twin_from(self, card: str) -> None:
        """The plan's twin is the check of the card that has measured the plan's first configuration."""
        for check in self.check_of(card):
            path = card_folder(self._folder, card) / "requests" / f"{check.trial.position:04}.npz"
            self.add(card, Finished(check, path.read_bytes() if path.exists() else None))
