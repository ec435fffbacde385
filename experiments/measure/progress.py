"""Who is told how a campaign goes. This one listens in silence: override what you want to hear."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.plan import Trial
from experiments.results.ceilings import Ceilings
from experiments.results.trial_result import TrialResult


class Progress:
    """Hears of everything that happens while a plan is measured, in the order in which it happens."""

    def begun(self, folder: Path) -> None:
        """What is measured goes into this folder."""

    def ceiling(self, what: str) -> None:
        """A ceiling is being measured."""

    def ceilings(self, found: Ceilings) -> None:
        """All ceilings are measured."""

    def searching(self, cells: int, done: int) -> None:
        """The best of so many cells is searched for, trial by trial; `done` trials were there already."""

    def planned(self, todo: Sequence[Trial], done: int, at_once: int = 1) -> None:
        """These trials are measured next, on so many cards at once; `done` were there already."""

    def loading(self, trial: Trial) -> None:
        """The model of a trial's cell is being loaded."""

    def measuring(self, trial: Trial) -> None:
        """A trial begins."""

    def at_cards(self, doing: Mapping[str, str]) -> None:
        """What each card of a cluster is doing now, by its name; those that are idle are missing."""

    def note(self, trial: Trial, line: str) -> None:
        """What is found on the way, in a trial that takes long."""

    def again(self, trial: Trial) -> None:
        """A trial is measured once more, beside those that were planned: it was disturbed, or it failed."""

    def finished(self, result: TrialResult) -> None:
        """A trial is on disk."""

    def warn(self, message: str) -> None:
        """Something is not as it should be, and the campaign goes on."""
