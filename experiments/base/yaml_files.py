"""YAML files that people write, read with an error of one line."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from experiments.base.errors import UsageError

MOST_VALUES = 100_000
"""In a file that people write; nine lines of aliases of aliases come to a billion."""


def read_yaml(path: Path, what: str) -> Any:
    """What the file of `what` ("a plan") holds. Raises UsageError where it can't be read or is no YAML."""
    return parsed_yaml(read_text(path, what), path)


def read_text(path: Path, what: str) -> str:
    """The file of `what` as UTF-8. Raises UsageError where it can't be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read ({error}): give the file of {what}") from error


def parsed_yaml(text: str, path: Path) -> Any:
    """What a text that `path` holds says. Raises UsageError where it is no YAML, and where its aliases or its
    depth make more of it than anybody writes."""
    try:
        content = yaml.safe_load(text)
        _values_in(content, {})
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a date of the 99th month is a ValueError
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply: write it flatter") from error
    return content


def _values_in(content: object, known: dict[int, int]) -> int:
    """How many values there would be if each alias were written out. Raises ValueError where that are more
    than MOST_VALUES, or one contains itself."""
    if not isinstance(content, list | Mapping):
        return 1
    if id(content) in known:
        if not known[id(content)]:
            raise ValueError("an alias in it contains itself")
        return known[id(content)]
    known[id(content)] = 0  # at it
    parts: Iterable[object] = content if isinstance(content, list) else content.values()
    known[id(content)] = 1 + sum(_values_in(part, known) for part in parts)
    if known[id(content)] > MOST_VALUES:
        raise ValueError(f"its aliases come to more than {MOST_VALUES:,} values")
    return known[id(content)]
