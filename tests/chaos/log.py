"""The log of a campaign: a line for each story, added as it ends. What it holds is not played again."""

import re
import subprocess
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from tests.chaos.story import AS_UNDISTURBED, Story

HEADING = re.compile(r"# seed (\d+)\b")
GOOD = re.compile(rf" *([1-9]\d*) .*: {AS_UNDISTURBED} \(\d+\.\d s\)")


class Log:
    """Of one seed. Its headings tell the seed, and the commit that was played from there on.

    Raises UsageError where the file can't be read, or is of another seed.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        try:
            text = path.read_text("utf-8") if path.exists() else ""
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} can't be read: {error}: give another --log") from error
        self._torn = bool(text) and not text.endswith("\n")
        self._lines = text.splitlines()
        seeds = {int(found[1]) for line in self._lines if (found := HEADING.match(line))}
        if seeds - {seed}:
            raise UsageError(f"{path} is of seed {seeds.pop()}: give another --log, or --seed")
        self._seed = seed
        self._heading = ""

    def good(self) -> set[int]:
        """The numbers whose kill came to what it would have. A line that was torn tells of none."""
        return {int(found[1]) for line in self._lines if (found := GOOD.fullmatch(line))}

    def add(self, story: Story) -> None:
        """Adds its line, under a heading where the last one is another."""
        self._heading = self._heading or f"# seed {self._seed}, commit {_commit()}"
        headings = [line for line in self._lines if HEADING.match(line)]
        lines = [story.line()] if headings[-1:] == [self._heading] else [self._heading, story.line()]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn + "".join(f"{line}\n" for line in lines))
        self._torn = False
        self._lines += lines


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
