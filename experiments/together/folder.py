"""The files of a plan carried out: the plan, every look as measured, a summary. Going on after a stop.

`plan.json`, `looks.jsonl` (a line each, in the order of measurement), `summary.csv`, `goodput.csv`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import append_line, bytes_of, cut_torn_line, write_json, write_whole
from experiments.results.contained import MOST_TRIAL_BYTES, refuse_what_leads_out
from experiments.results.folder import without_formulas
from experiments.results.typed import strictly_parsed
from experiments.together.look import Look, heard
from experiments.together.plan import Together
from experiments.together.reading import as_settings, understood

PLAN, LOOKS, SUMMARY, GOODPUT = "plan.json", "looks.jsonl", "summary.csv", "goodput.csv"


@dataclass(frozen=True, slots=True)
class Folder:
    """A results folder of one plan."""

    path: Path

    def begin(self, plan: Together) -> list[Look]:
        """Makes the folder, or goes on with it, with more runs too: the looks that are there. A plan without
        any gives way to another.

        Raises UsageError where it holds another plan, or something else; ExperimentError where it can't be
        written.
        """
        with self._room():
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_what_leads_out(self.path)
            if (self.path / PLAN).exists():
                taken = self.looks()
                if taken and replace(self.plan(), runs=plan.runs) != plan:
                    raise UsageError(f"{self.path} holds the results of another plan: choose another --out")
                if taken:
                    return taken
            elif any(self.path.iterdir()):
                raise UsageError(f"{self.path} holds something else: choose another --out")
            write_json(self.path / PLAN, as_settings(plan))
        return []

    def plan(self) -> Together:
        """The plan whose results these are. Raises UsageError."""
        refuse_what_leads_out(self.path)
        try:
            return understood(strictly_parsed(bytes_of(self.path / PLAN)), str(self.path / PLAN))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path} holds no plan ({error}): choose another folder") from error

    def looks(self) -> list[Look]:
        """Those that were taken; a last line that a kill has torn is cut off. Raises UsageError for a line
        that is none."""
        path = self.path / LOOKS
        if not path.exists():
            return []
        if not bytes_of(path, MOST_TRIAL_BYTES).endswith(b"\n"):
            with path.open("rb+") as file:
                cut_torn_line(file)
        try:
            return [heard(strictly_parsed(line)) for line in path.read_bytes().splitlines()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path} holds a line that is no look ({error}): choose another --out"
            ) from error

    def add(self, one: Look) -> None:
        """Writes a look, and waits until it is on the disk. Raises ExperimentError."""
        with self._room(), (self.path / LOOKS).open("ab") as file:
            append_line(file, one.told())

    def write(self, name: str, frame: pd.DataFrame) -> None:
        """A table as CSV, whole or not at all. Raises ExperimentError."""
        with self._room():
            write_whole(self.path / name, without_formulas(frame).to_csv(index=False))

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExperimentError(f"can't write {self.path}: {error.strerror}; make room") from error
