"""The files of a plan carried out: the plan, every look as measured, a summary. Going on after a stop.

`plan.json`, `looks.jsonl` (a line each, in the order of measurement), `summary.csv`, `goodput.csv`.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import write_json, write_whole
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
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if (self.path / PLAN).exists():
                taken = self.looks()
                if taken and replace(self.plan(), runs=plan.runs) != plan:
                    raise UsageError(f"{self.path} holds the results of another plan: choose another --out")
                if taken:
                    return taken
            elif any(self.path.iterdir()):
                raise UsageError(f"{self.path} holds something else: choose another --out")
            write_json(self.path / PLAN, as_settings(plan))
        except OSError as error:
            raise ExperimentError(f"can't write {self.path}: {error.strerror}; make room") from error
        return []

    def plan(self) -> Together:
        """The plan whose results these are. Raises UsageError."""
        try:
            return understood(json.loads((self.path / PLAN).read_text("utf-8")), str(self.path / PLAN))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path} holds no plan ({error}): choose another folder") from error

    def looks(self) -> list[Look]:
        """Those that were taken; a last line that a kill has torn is cut off. Raises UsageError for a line
        that is none."""
        path = self.path / LOOKS
        if not path.exists():
            return []
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            whole = whole[: whole.rfind(b"\n") + 1]
            os.truncate(path, len(whole))
        try:
            return [heard(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path} holds a line that is no look ({error}): choose another --out"
            ) from error

    def add(self, one: Look) -> None:
        """Writes a look, and waits until it is on the disk. Raises ExperimentError."""
        try:
            with (self.path / LOOKS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(one.told()) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ExperimentError(f"can't write {self.path}: {error.strerror}; make room") from error

    def write(self, name: str, frame: pd.DataFrame) -> None:
        """A table as CSV, whole or not at all. Raises ExperimentError."""
        try:
            write_whole(self.path / name, frame.to_csv(index=False))
        except OSError as error:
            raise ExperimentError(f"can't write {self.path}: {error.strerror}; make room") from error
