"""What is best, in the user's words: a figure to make large and the bounds to keep, read from a line.

'throughput with p99<100ms and memory<8GiB'. The figure and the bounded values of a run: results/figures.py.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NoReturn, cast

from experiments.base.errors import UsageError
from experiments.base.numbers import plain
from experiments.plan.cell import Cell

Figure = Literal["throughput", "requests per joule"]
UNITS: Mapping[Figure, str] = {"throughput": "requests/s", "requests per joule": "requests/J"}

# What can be bounded, and its units with their size in the first of them.
_LATENCY = {"ms": 1.0, "s": 1e3}
_MEMORY = {"b": 1.0, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "kb": 1e3, "mb": 1e6, "gb": 1e9}
BOUNDABLE = {"p50": _LATENCY, "p95": _LATENCY, "p99": _LATENCY, "memory": _MEMORY, "rss": _MEMORY}
MEASURES = {"p50": "p50", "p95": "p95", "p99": "p99", "memory": "GPU memory", "rss": "resident memory"}
EXAMPLES = "'throughput', 'throughput with p99<100ms', 'requests per joule', 'memory<8GiB'"
_BOUND = re.compile(r"(?P<name>[a-z]\w*)\s*<=?\s*(?P<number>\d+\.?\d*(e[+-]?\d+)?)\s*(?P<unit>[a-z]*)")


@dataclass(frozen=True, slots=True)
class Bound:
    """`name` is to stay below `limit`, in ms or bytes: p50, p95, p99; memory (the GPU's in use, as a whole);
    rss (resident memory of the workers)."""

    name: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}<{self.written(self.limit, exact=True)}"

    def written(self, value: float, *, exact: bool = False) -> str:
        """A value in this bound's unit."""
        unit, size = ("ms", 1.0) if "ms" in BOUNDABLE[self.name] else ("GiB", 2.0**30)
        short = plain(value / size, 4, "")
        return (repr(value / size) if exact and float(short) * size != value else short) + unit


@dataclass(frozen=True, slots=True)
class Goal:
    """The figure to make as large as possible while every bound holds."""

    figure: Figure = "throughput"
    bounds: tuple[Bound, ...] = ()

    def __str__(self) -> str:
        return self.figure + (f" with {' and '.join(map(str, self.bounds))}" if self.bounds else "")

    def unit(self, cells: Iterable[Cell]) -> str:
        """Of the figures of these cells."""
        several = any(cell.client_batch > 1 for cell in cells)
        return UNITS[self.figure].replace("requests", "inputs") if several else UNITS[self.figure]


def goal_from(text: str) -> Goal:
    """Reads a goal: a figure, bounds, or both joined by 'with'; bounds are joined by 'and' or a comma.

    Bounds alone are bounds on throughput; '<=' says the same as '<'. Raises UsageError for anything else.
    """
    figure, given, bounds = " ".join(text.lower().split()).partition(" with ")
    if figure in UNITS and not given:
        return Goal(cast(Figure, figure))
    if not given:
        figure, bounds = "throughput", figure
    if figure not in UNITS:
        _refuse(text, f"{figure!r} is no figure to make large, they are {_or(UNITS)}")
    read = tuple(_bound_from(part.strip(), text) for part in re.split(r",| and ", bounds))
    if len({bound.name for bound in read}) < len(read):
        _refuse(text, "it bounds one thing twice")
    return Goal(cast(Figure, figure), read)


def _bound_from(part: str, text: str) -> Bound:
    match = _BOUND.fullmatch(part)
    if match is None:
        _refuse(text, f"can't read {part!r}")
    name, unit = match["name"], match["unit"]
    if name not in BOUNDABLE:
        _refuse(text, f"{name!r} can't be bounded, only {_or(BOUNDABLE)}")
    if unit not in BOUNDABLE[name]:
        named = f"{unit!r} is no unit of {name}" if unit else f"{name} needs a unit"
        _refuse(text, f"{named}: write {_or(BOUNDABLE[name])}")
    limit = float(match["number"]) * BOUNDABLE[name][unit]
    if not limit > 0 or not isfinite(limit):
        _refuse(text, f"the bound of {name} must be above 0 and finite")
    return Bound(name, limit)


def _refuse(text: str, why: str) -> NoReturn:
    raise UsageError(f"--goal {text!r}: {why}; goals are like {EXAMPLES}")


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
