"""The runs of a configuration that one card of a cluster has measured: a cell stays on one card.

Where a card was lost, what it had begun is measured anew on another one. The runs of both are kept, in
trials.jsonl; those of the last card alone are judged: else the difference of two cards would be in a cell's
spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.plan import Cell
from experiments.results.trial_result import TrialResult


@dataclass(slots=True)
class Sitting:
    """What one card measures of a family of cells, from beginning to end. `first_attempt` is the number that
    its attempts are counted from, above all of those before."""

    card: str | None
    first_attempt: int = 0
    last_attempt: int = -1  # none yet


def family(cell: Cell) -> Cell:
    """What the cells have in common that stay on one card: all but MPS, its limits, and being a twin."""
    return replace(cell.without_mps, twin=False)


def last_sittings(results: Sequence[TrialResult]) -> dict[Cell, Sitting]:
    """The last sitting of each family, of `results` in the order of measuring."""
    found: dict[Cell, Sitting] = {}
    for result in results:
        sitting = sit_down(found, result.trial.cell, result.card)
        sitting.last_attempt = max(sitting.last_attempt, result.trial.attempt)
    return found


def sit_down(sittings: dict[Cell, Sitting], cell: Cell, card: str | None) -> Sitting:
    """The sitting that a result of `cell` on `card` belongs to: the family's last one or, where that was on
    another card, a new one, which takes its place in `sittings`."""
    key = family(cell)
    before = sittings.get(key)
    if before is None or before.card != card:
        first = 0 if before is None else before.last_attempt + 1
        sittings[key] = Sitting(card, first, first - 1)
    return sittings[key]


def of_one_card(results: Sequence[TrialResult]) -> list[TrialResult]:
    """The results that count, in their order: those of each family's last sitting, with attempts counted from
    0.

    Results of a single machine name no card: they are what they were.
    """
    if not any(result.card for result in results):
        return list(results)
    last = last_sittings(results)
    counting = []
    for result in results:
        sitting = last[family(result.trial.cell)]
        attempt = result.trial.attempt - sitting.first_attempt
        if result.card == sitting.card and attempt >= 0:
            counting.append(replace(result, trial=replace(result.trial, attempt=attempt)))
    return counting
