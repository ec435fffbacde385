"""Outcomes as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from experiments.fleet.scaling.outcome import Outcome

COLUMNS = (
    "within the bound",
    "p99 ms",
    "instance-hours",
    "of the fixed fleet",
    "instances",
    "added",
    "removed",
)


def table(title: str, outcomes: Sequence[Outcome], fixed: Outcome) -> Table:
    """A line for each policy; its cost also as a share of the fixed fleet's."""
    shown = Table(box=box.SIMPLE, title=title)
    shown.add_column("policy")
    for heading in COLUMNS:
        shown.add_column(heading, justify="right")
    for each in outcomes:
        shown.add_row(*row(each, fixed))
    return shown


def row(each: Outcome, fixed: Outcome) -> tuple[str, ...]:
    """The cells of a line."""
    return (
        each.policy,
        f"{each.attainment:.2%}",
        f"{each.p99_ms:,.0f}",
        f"{each.instance_h:,.4g}",
        f"{each.instance_h / fixed.instance_h:.0%}",
        f"{each.least}-{each.most}" if each.least != each.most else str(each.most),
        str(each.added),
        str(each.removed),
    )
