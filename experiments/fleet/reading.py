"""An entry of a user's YAML file, read key by key: what is missing or wrong in it is said in one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.base.yaml_files import read_yaml

GIB = 2**30
LARGEST = 1e15
"""No rate, price or number of vCPUs is larger, which an infinite one or NaN is not either."""


class Entry:
    """A mapping and where it stands. Raises UsageError where it is none, or has a key that isn't `known`."""

    def __init__(self, where: str, content: object, known: Sequence[str]) -> None:
        if not isinstance(content, Mapping):
            raise UsageError(f"{where}: needs {', '.join(known)}, not {content!r}")
        if unknown := sorted(str(key) for key in content if key not in known):
            raise UsageError(f"{where}: `{unknown[0]}` is not known: use {', '.join(known)}")
        self.where = where
        self._content: Mapping[Any, Any] = content

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def get(self, key: str) -> Any:
        """Whatever YAML made of it. Raises UsageError where it is missing."""
        if key not in self:
            raise UsageError(f"{self.where}: `{key}` is missing")
        return self._content[key]

    def text(self, key: str, default: str | None = None) -> str:
        """Raises UsageError where it is missing and has no default, or is empty."""
        text = str(self.get(key) if default is None or key in self else default).strip()
        if not text:
            raise UsageError(f"{self.where}: `{key}` is empty")
        return text

    def number(
        self,
        key: str,
        default: float | None = None,
        *,
        above: float | None = None,
        least: float | None = None,
        whole: bool = False,
    ) -> float:
        """Raises UsageError where it is missing and has no default, no finite number, or not in its range."""
        value = default if default is not None and key not in self else self.get(key)
        return number(f"{self.where}: `{key}`", value, above=above, least=least, whole=whole)

    def listed(self, key: str) -> list[Any]:
        """A list with something in it. Raises UsageError where it is none."""
        value = self.get(key)
        if not isinstance(value, list) or not value:
            raise UsageError(f"{self.where}: `{key}` is a list with something in it, not {value!r}")
        return value


def number(
    where: str, value: object, *, above: float | None = None, least: float | None = None, whole: bool = False
) -> float:
    """A finite number. Raises UsageError, beginning with `where`, for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise UsageError(f"{where} is a number, not {value!r:.60}")
    if whole and value % 1:
        raise UsageError(f"{where} is a whole number, not {value:g}")
    if above is not None and not value > above:
        raise UsageError(f"{where} is above {above:g}, not {value:g}")
    if least is not None and value < least:
        raise UsageError(f"{where} is {least:g} or more, not {value:g}")
    return float(value)


def read_entry(path: Path, what: str, known: Sequence[str]) -> Entry:
    """The mapping that a file holds. Raises UsageError where it can't be read or is none."""
    return Entry(str(path), read_yaml(path, what), known)
