"""Patterns: what one node of a kind may hold, listed, filled greedily, or the one that is worth the most.

A pattern is a tuple of numbers, one for each item. A node with cards has something on one of them at least.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from experiments.base.arrays import Floats
from experiments.base.errors import ExperimentError
from experiments.fleet.packing.nodes import Item, Room, fits

Pattern = tuple[int, ...]
LISTED = 1500
"""So many beginnings of patterns of one kind are looked at; beyond, there are too many to list."""
_INFEASIBLE = 2


def listed(items: Sequence[Item], room: Room) -> list[Pattern] | None:
    """Every pattern into which no more without a card fits; None where that takes more than LISTED steps.

    Fewer on cards than fit are patterns of their own, as no more of those are rented than there are.
    """
    found: list[Pattern] = []
    begun: list[Pattern] = [()]
    for _ in range(LISTED):
        if not begun:
            return found
        pattern = begun.pop()
        if len(pattern) == len(items):
            if _is_for_it(items, room, pattern) and _is_full(items, room, pattern):
                found.append(pattern)
            continue
        place = len(pattern)
        held = list(zip(items, pattern, strict=False))
        for count in range(room.most[place] + 1):
            if not fits([*held, (items[place], count)], room.kind):
                break
            begun.append((*pattern, count))
    return None


def filled(items: Sequence[Item], room: Room) -> list[Pattern]:
    """Nodes of one kind filled one after the other, the largest items first, until nothing is left that they
    may hold (first fit decreasing)."""
    left = [min(item.count, most) for item, most in zip(items, room.most, strict=True)]
    order = sorted(range(len(items)), key=lambda place: (not items[place].card, -_size(items[place], room)))
    found: list[Pattern] = []
    while True:
        pattern = [0] * len(items)
        for place in order:
            while pattern[place] < left[place]:
                pattern[place] += 1
                if not fits(zip(items, pattern, strict=True), room.kind):
                    pattern[place] -= 1
                    break
        if not _is_for_it(items, room, pattern):
            return found
        times = min(rest // held for rest, held in zip(left, pattern, strict=True) if held)
        left = [rest - times * held for rest, held in zip(left, pattern, strict=True)]
        found.append(tuple(pattern))


def most_worth(items: Sequence[Item], room: Room, worth: Floats) -> tuple[float, Pattern]:
    """The pattern of a kind whose items are worth the most together, and how much: a knapsack. Nothing where
    nobody needs its cards."""
    kind = room.kind
    rows = [
        [item.vcpus / kind.vcpus for item in items],
        [item.memory_bytes / kind.memory_bytes for item in items],
        [float(bool(item.card)) / max(1, kind.gpus) for item in items],
    ]
    limits = LinearConstraint(
        np.array(rows), lb=[0, 0, 1 / kind.gpus if kind.gpus else 0], ub=[1, 1, float(bool(kind.gpus))]
    )
    whole = np.ones(len(items), dtype=int)
    solved = milp(-worth, constraints=limits, integrality=whole, bounds=Bounds(0, room.most))
    if solved.status == _INFEASIBLE:
        return 0.0, (0,) * len(items)
    if solved.x is None:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    pattern = [int(count) for count in np.round(solved.x)]
    while not fits(zip(items, pattern, strict=True), kind):  # the solver's tolerance
        pattern[next(place for place, count in enumerate(pattern) if count)] -= 1
    return float(worth @ np.array(pattern)), tuple(pattern)


def _is_for_it(items: Sequence[Item], room: Room, pattern: Sequence[int]) -> bool:
    """Whether a node of this kind is rented for it: with cards, for what needs a card."""
    held = [item for item, count in zip(items, pattern, strict=True) if count]
    return any(item.card for item in held) if room.kind.gpus else bool(held)


def _is_full(items: Sequence[Item], room: Room, pattern: Sequence[int]) -> bool:
    for place, item in enumerate(items):
        more = [count + (other == place) for other, count in enumerate(pattern)]
        if (
            not item.card
            and more[place] <= room.most[place]
            and fits(zip(items, more, strict=True), room.kind)
        ):
            return False
    return True


def _size(item: Item, room: Room) -> float:
    return max(item.vcpus / room.kind.vcpus, item.memory_bytes / room.kind.memory_bytes)
