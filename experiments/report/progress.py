"""What the user sees while a campaign runs: a live line on a terminal, elsewhere one a ceiling or trial."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.text import Text

from experiments.measure import Progress
from experiments.plan import Trial, estimated_s
from experiments.report.terminal import ceilings_table
from experiments.results import Ceilings, TrialResult
from experiments.verdict.words import counted

MOST_SHOWN = 4  # cards in the live line


class ConsoleProgress(Progress):
    """Tells the cell, the run and the time left; a context manager, so that the live line is taken away."""

    def __init__(self, console: Console) -> None:
        self.folder: Path | None = None  # once a campaign has begun in it
        self._console = console
        self._status = Status("", console=console) if console.is_terminal else None
        self._todo = 0
        self._finished = 0
        self._estimate_s = 0.0
        self._started_s = time.monotonic()

    def __enter__(self) -> "ConsoleProgress":
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def begun(self, folder: Path) -> None:
        self.folder = folder
        self._console.print(f"Results go to {folder}", markup=False, highlight=False)

    def ceilings(self, found: Ceilings) -> None:
        self._console.print(ceilings_table(found))

    def searching(self, cells: int, done: int) -> None:
        kept = f" ({counted(done, 'trial')} there already)" if done else ""
        self._console.print(f"searching for the best of {counted(cells, 'cell')}{kept}")

    def planned(self, todo: Sequence[Trial], done: int, at_once: int = 1) -> None:
        self._todo, self._finished, self._started_s = len(todo), 0, time.monotonic()
        cells = len({trial.cell for trial in todo})
        self._estimate_s = estimated_s(todo) / at_once
        if all(trial.attempt for trial in todo):
            what = f"{counted(len(todo), 'run')} of {counted(cells, 'cell')}, disturbed or failed"
            self._console.print(f"measuring again: {what}, about {_clock(self._estimate_s)}")
            return
        kept = f" ({done} are there already)" if done else ""
        cards = f" on {at_once} cards" if at_once > 1 else ""
        told = f"{self._todo} trials of {cells} cells{cards}{kept}, about {_clock(self._estimate_s)}"
        self._console.print(told)

    def ceiling(self, what: str) -> None:
        if self._status:
            self._status.update(Text(f"ceilings: {what}"))
        else:
            self._console.print(f"  ceilings: {what}", markup=False, highlight=False)

    def loading(self, trial: Trial) -> None:
        self._show(f"{trial.cell}: loading the model")

    def measuring(self, trial: Trial) -> None:
        self._show(f"{trial.cell}: run {trial.run}")

    def at_cards(self, doing: Mapping[str, str]) -> None:
        told = [f"{card}: {what}" for card, what in islice(doing.items(), MOST_SHOWN)]
        self._show("; ".join([*told, *([f"{len(doing)} cards in all"] if len(doing) > MOST_SHOWN else [])]))

    def note(self, trial: Trial, line: str) -> None:
        self._show(f"{trial.cell}: {line}")
        if not self._status:
            self._console.print(f"  {line}", markup=False, highlight=False)

    def again(self, trial: Trial) -> None:
        self._todo += bool(self._todo)
        self._estimate_s += estimated_s([trial])

    def finished(self, result: TrialResult) -> None:
        self._finished += 1
        trial = result.trial
        said = (
            f"{result.throughput_rps:8.2f} requests/s" if result.valid else "INVALID: " + result.problems[0]
        )
        of_all = f"/{self._todo}" if self._todo else ""  # nobody knows how many a search takes
        counter = f"[{self._finished:>{len(str(self._todo))}}{of_all}]"
        if result.disturbed:
            said += f" (disturbed: {'; '.join(result.disturbances)})"
        again = " again" if trial.attempt else ""
        card = f" (on {result.card})" if result.card else ""
        line = f"{counter} {trial.cell}, run {trial.run}{again}: {said}{card}"
        self._console.print(line, markup=False, highlight=False)

    def warn(self, message: str) -> None:
        self._console.print(f"warning: {message}", style="yellow", markup=False, highlight=False)

    def _show(self, doing: str) -> None:
        if self._status:
            left = f"{self._finished + 1} of {self._todo}, {_clock(self._left_s())} left"
            left = left if self._todo else f"trial {self._finished + 1}"
            self._status.update(Text(f"{doing} ({left})"))

    def _left_s(self) -> float:
        """By the pace so far, once there is one; the plan's arithmetic before."""
        spent_s = time.monotonic() - self._started_s
        if self._finished < 3:
            return max(0.0, self._estimate_s - spent_s)
        return spent_s / self._finished * (self._todo - self._finished)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
