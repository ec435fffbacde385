"""The two lists: which tests go with a module, and which mutants can't be noticed, each with the reason."""

from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).parent

Key = tuple[str, str, str]
"""A mutant: its module's path, the function it is in, and what it changes; no line, which moves."""


def modules_and_tests() -> dict[str, list[str]]:
    """The tests of each module, both by path from the root: its own, and where others hold it too, those."""
    listed: dict[str, list[str]] = yaml.safe_load((HERE / "modules.yaml").read_text(encoding="utf-8"))
    return listed


@cache
def explanations() -> dict[Key, str]:
    """Why these mutants can't be noticed."""
    listed = yaml.safe_load((HERE / "explained.yaml").read_text(encoding="utf-8")) or {}
    return {
        (path, entry["in"], what): entry["why"]
        for path, entries in listed.items()
        for entry in entries
        for what in entry["what"]
    }
