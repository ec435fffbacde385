"""Instances packed onto nodes, so that these cost the least: those of CPUs fill what nodes with cards leave.

A bin packing with bins of several kinds, solved over patterns: what one node may hold (Gilmore and Gomory,
1961). Patterns are listed where they are few, else made as the prices of the linear relaxation ask for them;
SciPy's HiGHS solves both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from experiments.base.arrays import Floats
from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.prices import InstanceType
from experiments.fleet.reading import GIB

LISTED = 4000
"""Patterns of one kind of node that are listed; beyond, they are made as they are asked for."""
SOLVE_S = 10.0
_ROUNDING = 1e-9
_MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Item:
    """`count` things alike to be packed, each with so many vCPUs and so much memory of one node, and a whole
    `card` of that kind, or none."""

    name: str
    count: int
    vcpus: float
    memory_bytes: int
    card: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """`count` nodes of a kind, each of which holds so many of each item by its name."""

    kind: InstanceType
    holds: Mapping[str, int]
    count: int


@dataclass(frozen=True, slots=True)
class Packed:
    """All nodes. No packing costs less than `at_least_per_hour`."""

    nodes: tuple[Node, ...]
    at_least_per_hour: float

    @property
    def per_hour(self) -> float:
        return sum(node.count * node.kind.price_per_hour for node in self.nodes)

    def counts(self) -> dict[str, int]:
        """How many nodes there are of each kind."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node.kind.kind] = found.get(node.kind.kind, 0) + node.count
        return found


Pattern = tuple[int, tuple[int, ...]]
"""The place of a kind of node, and how many of each item one node of it holds."""


def pack(items: Sequence[Item], kinds: Sequence[InstanceType], cards_apart: bool = False) -> Packed:
    """The cheapest nodes that are found for the items. `cards_apart`: items without a card never go to nodes
    with cards.

    Raises UsageError where an item fits onto no kind of node, ExperimentError where the solver fails.
    """
    items = [item for item in items if item.count]
    for item in items:
        if not any(_fits(item, kind, cards_apart) for kind in kinds):
            raise UsageError(_fits_nowhere(item, kinds))
    if not items:
        return Packed((), 0.0)
    patterns: list[Pattern] = []
    for place, kind in enumerate(kinds):
        most = [item.count if _fits(item, kind, cards_apart) else 0 for item in items]
        listed = _listed(items, kind, most)
        if listed is None:
            return _solved(items, kinds, *_made(items, kinds, cards_apart))
        patterns += [(place, pattern) for pattern in listed]
    return _solved(items, kinds, patterns, _relaxed(items, kinds, patterns)[0])


def fits(holds: Sequence[tuple[Item, int]], kind: InstanceType) -> bool:
    """Whether one node of a kind holds all of that."""
    return (
        sum(item.vcpus * count for item, count in holds) <= kind.vcpus * (1 + _ROUNDING)
        and sum(item.memory_bytes * count for item, count in holds) <= kind.memory_bytes
        and sum(count for item, count in holds if item.card) <= kind.gpus
        and all(item.card in (None, kind.card) for item, count in holds if count)
    )


def _fits(item: Item, kind: InstanceType, cards_apart: bool) -> bool:
    return fits([(item, 1)], kind) and not (cards_apart and kind.gpus and not item.card)


def _fits_nowhere(item: Item, kinds: Sequence[InstanceType]) -> str:
    if item.card and not any(kind.card == item.card for kind in kinds):
        return f"{item.name}: there is no price for a card {item.card!r}: add an instance type that has it"
    beside = f" beside a card {item.card!r}" if item.card else ""
    return (
        f"{item.name}: no instance type has {item.vcpus:g} vCPUs and {item.memory_bytes / GIB:.3g} GiB "
        f"free{beside}: add one to the prices"
    )


def _listed(items: Sequence[Item], kind: InstanceType, most: Sequence[int]) -> list[tuple[int, ...]] | None:
    """Every pattern that nothing more fits into; None where there are more than LISTED on the way."""
    found: list[tuple[int, ...]] = []
    open_patterns: list[tuple[int, ...]] = [()]
    seen = 0
    while open_patterns:
        begun = open_patterns.pop()
        seen += 1
        if seen > LISTED:
            return None
        if len(begun) == len(items):
            if any(begun) and _is_full(items, kind, most, begun):
                found.append(begun)
            continue
        place = len(begun)
        held = list(zip(items, begun, strict=False))
        for count in range(most[place] + 1):
            if not fits([*held, (items[place], count)], kind):
                break
            open_patterns.append((*begun, count))
    return found


def _is_full(items: Sequence[Item], kind: InstanceType, most: Sequence[int], pattern: Sequence[int]) -> bool:
    for place, item in enumerate(items):
        more = [count + (other == place) for other, count in enumerate(pattern)]
        if more[place] <= most[place] and fits(list(zip(items, more, strict=True)), kind) and item.count:
            return False
    return True


def _relaxed(
    items: Sequence[Item], kinds: Sequence[InstanceType], patterns: Sequence[Pattern]
) -> tuple[float, Floats]:
    """What parts of nodes would cost, and what one more of each item would."""
    holds, prices = _matrix(kinds, patterns)
    solved = linprog(prices, A_ub=-holds, b_ub=[-item.count for item in items], method="highs")
    if not solved.success:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    return float(solved.fun or 0.0), -np.asarray(solved.ineqlin.marginals)


def _made(
    items: Sequence[Item], kinds: Sequence[InstanceType], cards_apart: bool
) -> tuple[list[Pattern], float]:
    """Patterns that the relaxation asks for, and its value; Farley's bound where they aren't all made."""
    patterns: list[Pattern] = []
    for place, kind in enumerate(kinds):
        for index, item in enumerate(items):
            if _fits(item, kind, cards_apart):
                worth = np.array([float(other == index) for other in range(len(items))])
                patterns.append((place, _most_worth(items, kind, worth, cards_apart)[1]))
    at_least = 0.0
    for _ in range(_MOST_ROUNDS):
        value, worth = _relaxed(items, kinds, patterns)
        best = [_most_worth(items, kind, worth, cards_apart) for kind in kinds]
        ratio = max(found / kind.price_per_hour for (found, _), kind in zip(best, kinds, strict=True))
        at_least = max(at_least, value / max(1.0, ratio))
        if ratio <= 1 + 1e-7:
            break
        patterns += [
            (place, pattern)
            for place, (found, pattern) in enumerate(best)
            if found > kinds[place].price_per_hour * (1 + 1e-7)
        ]
    return list(dict.fromkeys(patterns)), at_least


def _most_worth(
    items: Sequence[Item], kind: InstanceType, worth: Floats, cards_apart: bool
) -> tuple[float, tuple[int, ...]]:
    """What one node of a kind is to hold, where each item is worth so much: a knapsack."""
    most = [item.count if _fits(item, kind, cards_apart) else 0 for item in items]
    rows = [
        [item.vcpus / kind.vcpus for item in items],
        [item.memory_bytes / kind.memory_bytes for item in items],
        [float(bool(item.card)) / max(1, kind.gpus) for item in items],
    ]
    room = LinearConstraint(np.array(rows), ub=[1.0, 1.0, 1.0 if kind.gpus else 0.0])
    solved = milp(
        -worth, constraints=room, integrality=np.ones(len(items), dtype=int), bounds=Bounds(0, most)
    )
    if solved.x is None:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    pattern = [int(count) for count in np.round(solved.x)]
    while not fits(list(zip(items, pattern, strict=True)), kind):  # the solver's tolerance
        place = next(place for place, count in enumerate(pattern) if count)
        pattern[place] -= 1
    return float(worth @ np.array(pattern)), tuple(pattern)


def _solved(
    items: Sequence[Item], kinds: Sequence[InstanceType], patterns: Sequence[Pattern], at_least: float
) -> Packed:
    """Whole nodes of these patterns, and no more of each item than there is."""
    holds, prices = _matrix(kinds, patterns)
    enough = LinearConstraint(holds, lb=[item.count for item in items])
    solved = milp(
        prices,
        constraints=enough,
        integrality=np.ones(len(patterns), dtype=int),
        options={"time_limit": SOLVE_S, "mip_rel_gap": 1e-6},
    )
    if solved.x is None:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    left = [item.count for item in items]
    nodes: dict[tuple[int, tuple[int, ...]], int] = {}
    for (place, pattern), times in zip(patterns, np.round(solved.x), strict=True):
        for _ in range(int(times)):
            taken = tuple(min(count, rest) for count, rest in zip(pattern, left, strict=True))
            left = [rest - count for rest, count in zip(left, taken, strict=True)]
            if any(taken):
                nodes[place, taken] = nodes.get((place, taken), 0) + 1
    named = [item.name for item in items]
    return Packed(
        tuple(
            Node(kinds[place], {n: c for n, c in zip(named, taken, strict=True) if c}, count)
            for (place, taken), count in nodes.items()
        ),
        at_least,
    )


def _matrix(kinds: Sequence[InstanceType], patterns: Sequence[Pattern]) -> tuple[Floats, Floats]:
    """Of shape (items, patterns) what each holds, of shape (patterns,) what each costs."""
    holds = np.array([pattern for _, pattern in patterns], dtype=float).T
    return holds, np.array([kinds[place].price_per_hour for place, _ in patterns])
