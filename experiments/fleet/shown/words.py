"""Words and numbers that the tables and the sentences of a fleet have in common."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.fleet.fleet import Row
from experiments.fleet.offers import Spread


def bottleneck(row: Row) -> str:
    shares: Mapping[str, float] = row.used or {}
    name = max(shares, key=lambda each: shares[each])
    where = {"rate": "the card's compute" if row.card else "the CPUs' compute", "memory": "the host's memory"}
    return f"{where.get(name, name)}, {100 * shares[name]:.0f} %"


def ranged(spread: Spread, shown: Any) -> str:
    low, likely, high = (str(shown(each)) for each in dataclasses.astuple(spread))
    return likely if low == high else f"{likely} ({low} to {high})"


def money(value: float) -> str:
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def counted(count: int, what: str) -> str:
    first, *rest = what.split(" ", 1)
    return f"{count} {first}{'s' if count != 1 else ''}{' ' + rest[0] if rest else ''}"
