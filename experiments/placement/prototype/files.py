"""Its files, looked at with suspicion: JSON objects, numbers in them, rows of CSV."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

from experiments.base.errors import UsageError

Entry = Mapping[str, object]


def read_text(path: Path) -> str:
    """Raises UsageError where it can't be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path} can't be read ({error}): give a file of the prototype") from error


def read_object(path: Path) -> Entry:
    """The object in a JSON file. Raises UsageError where there is none."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON ({error}): mend it") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: needs an object, not {type(content).__name__}")
    return content


def objects(entry: Entry, key: str, path: Path) -> list[Entry]:
    """The list of objects under a key. Raises UsageError where it is none, or empty."""
    found = entry.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{path}: `{key}` needs a list of objects")
    return found


def number(entry: Entry, key: str, path: Path, default: float | None = None) -> float:
    """The number under a key, not negative. Raises UsageError where it is none, or missing without a
    default."""
    found = entry.get(key, default)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e15:
        raise UsageError(f"{path}: `{key}` needs a number from 0 on, not {found!r}")
    return float(found)


def whole(entry: Entry, key: str, path: Path, default: int | None = None) -> int:
    """The same for whole numbers."""
    found = number(entry, key, path, default)
    if found != int(found):
        raise UsageError(f"{path}: `{key}` needs a whole number, not {found:g}")
    return int(found)


def word(entry: Entry, key: str, path: Path) -> str:
    """The text under a key. Raises UsageError where there is none."""
    found = entry.get(key)
    if not isinstance(found, str) or not found or "\0" in found:
        raise UsageError(f"{path}: `{key}` needs a text, not {found!r}")
    return found


def rows(path: Path, least: int) -> list[tuple[int, list[str]]]:
    """The lines that aren't empty, with their number, of at least so many values. Raises UsageError."""
    try:
        found = [
            (line, [value.strip() for value in row])
            for line, row in enumerate(csv.reader(read_text(path).splitlines()), 1)
            if any(value.strip() for value in row)
        ]
    except csv.Error as error:
        raise UsageError(f"{path} is no CSV ({error}): mend it") from error
    for line, row in found:
        if len(row) < least:
            raise UsageError(f"{path}, line {line}: needs {least} values, has {len(row)}")
    return found


def figure(value: str, where: str) -> float:
    """A finite number. Raises UsageError where it is none."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"{where}: needs a number, not {value!r}")
    return found


def count(value: str, where: str) -> int:
    """A whole number from 0 on. Raises UsageError where it is none."""
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise UsageError(f"{where}: needs a whole number, not {value!r}")
    return int(value)
