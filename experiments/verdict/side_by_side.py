"""Servers and engines laid next to each other: each at its best, and all at the settings of the best of them.

Pure. What is compared are stacks, a server with an engine and a precision behind it (ties.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.plan import Cell
from experiments.plan.servers import TORCHSERVE
from experiments.verdict.stats import Comparison, compare
from experiments.verdict.ties import Stack, is_tie, stack_of
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import change, interval, percent


@dataclass(frozen=True, slots=True)
class Row:
    """A stack at some settings; `against_best` compares the best of the rows with it, None for that itself.
    `differs` is what the archive notes of its engine against torch, None where it notes nothing."""

    stack: Stack
    measured: Measured
    against_best: Comparison | None
    differs: float | None


def at_their_best(verdict: Verdict) -> list[Row]:
    """Each stack with the most requests/s of those of its cells that the advice does not exclude, the best
    first; none where the plan compares no servers or engines."""
    excluded = verdict.advice.excluded if verdict.advice else {}
    best: dict[Stack, Measured] = {}
    for measured in verdict.grid:
        stack = stack_of(measured.cell)
        known = best.get(stack)
        if measured.cell not in excluded and (known is None or measured.median_rps > known.median_rps):
            best[stack] = measured
    return _rows(verdict, list(best.values()))


def at_the_same(verdict: Verdict) -> list[Row]:
    """All stacks at the settings of the advised cell, without advice at those of the fastest; the best
    first."""
    if not verdict.grid:
        return []
    fastest = max(verdict.grid, key=lambda measured: measured.median_rps).cell
    chosen = _settings(verdict.advice.best.cell if verdict.advice else fastest)
    return _rows(verdict, [each for each in verdict.grid if _settings(each.cell) == chosen])


def what_it_is_worth(rows: Sequence[Row], floor: float) -> str:
    """The margin of the best over the next, in a sentence; empty where there is no next."""
    if len(rows) < 2:
        return ""
    first, second = rows[0], rows[1]
    compared = second.against_best
    assert compared is not None
    text = (
        f"{first.stack} is at {change(compared.ratio)} over the next, {second.stack} ({interval(compared)} "
        f"times it with {percent(compared.confidence, 3)} confidence)"
    )
    if is_tie(compared, floor):
        return f"{text}, within noise."
    few = compared.verdict_alone == "not enough runs"
    return f"{text}, not shown by so few runs." if few else f"{text}."


def compares(verdict: Verdict) -> bool:
    """Whether a plan has more than one stack, or another server than TorchServe."""
    stacks = {stack_of(cell) for cell in verdict.plan.cells()}
    several = len({(stack.server, stack.engine) for stack in stacks}) > 1
    return several or any(stack.server != TORCHSERVE for stack in stacks)


def _rows(verdict: Verdict, cells: Sequence[Measured]) -> list[Row]:
    ordered = sorted(cells, key=lambda measured: -measured.median_rps)
    noted = {
        (one["engine"], one["precision"]): float(one["differs"])
        for one in verdict.archive.get("parity") or ()
    }
    floor = verdict.floor or 1.0
    rows = []
    for measured in ordered:
        stack = stack_of(measured.cell)
        against = compare(ordered[0].rps, measured.rps, noise_floor=floor)
        differs = noted.get((stack.engine, stack.precision or "fp32")) if stack.engine else None
        rows.append(Row(stack, measured, None if measured is ordered[0] else against, differs))
    return rows


def _settings(cell: Cell) -> Cell:
    return replace(cell, server=TORCHSERVE, engine=None, precision=None)
