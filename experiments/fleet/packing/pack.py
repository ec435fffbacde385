"""Items -> the cheapest nodes that are found, and a bound below which there are none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import LinearConstraint, linprog, milp

from experiments.base.arrays import Floats
from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.packing.nodes import Item, Node, Packed, Room, room_of
from experiments.fleet.packing.patterns import Pattern, filled, listed, most_worth
from experiments.fleet.prices import InstanceType
from experiments.fleet.reading import GIB

SOLVE_S = 5.0
GAP = 1e-4
"""The integer program ends where it is so near its bound, or after SOLVE_S."""
MOST_ITEMS = 100_000
_MOST_ROUNDS = 100
_ROUNDING = 1e-7

Placed = tuple[int, Pattern]
"""The place of a kind of node, and what one node of it holds."""


def pack(items: Sequence[Item], kinds: Sequence[InstanceType], cards_apart: bool = False) -> Packed:
    """The cheapest nodes that are found for the items. A node with cards is rented for what needs a card, and
    others fill what that leaves; with `cards_apart` they never do.

    Raises UsageError where an item fits onto no kind of node, or without a card only onto those with one;
    ExperimentError where the solver fails.
    """
    items = [item for item in items if item.count]
    for item in items:
        if item.count > MOST_ITEMS:
            raise UsageError(
                f"{item.name}: {item.count:,} instances are too many to pack: ask for a part of them"
            )
        if not any(room_of([item], kind, True).most[0] for kind in kinds):
            raise UsageError(_fits_nowhere(item, kinds))
    if not items:
        return Packed((), 0.0)
    alike = _alike(items)
    rooms = [room_of(alike, kind, cards_apart) for kind in kinds]
    lists = [listed(alike, room) for room in rooms]
    known = [each for each in lists if each is not None]
    if len(known) == len(lists):
        patterns = [(place, pattern) for place, each in enumerate(known) for pattern in each]
        nodes, at_least = _whole(alike, rooms, patterns)
        return Packed(_named(items, alike, rooms, nodes), at_least)
    patterns, at_least = _made(alike, rooms)
    return Packed(_named(items, alike, rooms, _whole(alike, rooms, patterns)[0]), at_least)


def _alike(items: Sequence[Item]) -> list[Item]:
    """Those that differ in their names only, as one."""
    found: dict[tuple[float, int, str | None], Item] = {}
    for item in items:
        key = item.vcpus, item.memory_bytes, item.card
        found[key] = replace(item, count=item.count + (found[key].count if key in found else 0))
    return list(found.values())


def _fits_nowhere(item: Item, kinds: Sequence[InstanceType]) -> str:
    if item.card and not any(kind.card == item.card for kind in kinds):
        return f"{item.name}: there is no price for a card {item.card!r}: add an instance type that has it"
    beside = f"beside a card {item.card!r}" if item.card else "without a card"
    return (
        f"{item.name}: no instance type {beside} has {item.vcpus:g} vCPUs and "
        f"{item.memory_bytes / GIB:.3g} GiB free: add one to the prices"
    )


def _made(items: Sequence[Item], rooms: Sequence[Room]) -> tuple[list[Placed], float]:
    """Patterns that the relaxation asks for, those of greedy filling, and a bound: Farley's (1990), which is
    the relaxation's value once nothing more is asked for."""
    patterns = [
        (place, tuple(int(other == index) for other in range(len(items))))
        for place, room in enumerate(rooms)
        for index, item in enumerate(items)
        if room.most[index] and bool(item.card) == bool(room.kind.gpus)
    ]
    patterns += [(place, pattern) for place, room in enumerate(rooms) for pattern in filled(items, room)]
    at_least = 0.0
    for _ in range(_MOST_ROUNDS):
        value, worth = _relaxed(items, rooms, patterns)
        best = [most_worth(items, room, worth) for room in rooms]
        ratios = [found / room.kind.price_per_hour for (found, _), room in zip(best, rooms, strict=True)]
        at_least = max(at_least, value / max(1.0, *ratios))
        asked = [(place, best[place][1]) for place, ratio in enumerate(ratios) if ratio > 1 + _ROUNDING]
        if not asked:
            break
        patterns += asked
    return list(dict.fromkeys(patterns)), at_least


def _relaxed(
    items: Sequence[Item], rooms: Sequence[Room], patterns: Sequence[Placed]
) -> tuple[float, Floats]:
    """What parts of nodes would cost, and what one more of each item would."""
    holds, prices = _matrix(rooms, patterns)
    on_cards = np.array([bool(item.card) for item in items])
    counts = np.array([float(item.count) for item in items])
    solved = linprog(
        prices,
        A_ub=-holds[~on_cards],
        b_ub=-counts[~on_cards],
        A_eq=holds[on_cards],
        b_eq=counts[on_cards],
        method="highs",
    )
    if not solved.success:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    worth = np.zeros(len(items))
    worth[~on_cards] = -np.asarray(solved.ineqlin.marginals)
    worth[on_cards] = np.asarray(solved.eqlin.marginals)
    return float(solved.fun or 0.0), worth


def _whole(
    items: Sequence[Item], rooms: Sequence[Room], patterns: Sequence[Placed]
) -> tuple[list[Placed], float]:
    """Whole nodes of these patterns, with as many cards as are needed, and the bound for these patterns."""
    holds, prices = _matrix(rooms, patterns)
    counts = [item.count for item in items]
    enough = LinearConstraint(holds, lb=counts, ub=[item.count if item.card else np.inf for item in items])
    whole = np.ones(len(patterns), dtype=int)
    solved = milp(
        prices,
        constraints=enough,
        integrality=whole,
        options={"time_limit": SOLVE_S, "mip_rel_gap": GAP},
    )
    if solved.x is None:
        raise ExperimentError(f"the nodes can't be packed: {solved.message}")
    times = [int(each) for each in np.round(solved.x)]
    nodes = [placed for placed, count in zip(patterns, times, strict=True) for _ in range(count)]
    cost = float(prices @ np.array(times))
    bound = float(solved.mip_dual_bound)
    return nodes, cost if cost - bound <= GAP * cost else bound


def _named(
    items: Sequence[Item], alike: Sequence[Item], rooms: Sequence[Room], nodes: Sequence[Placed]
) -> tuple[Node, ...]:
    """The nodes with what each holds by its name, no more of it than there is."""
    left = {item.name: item.count for item in items}
    names = [
        [item.name for item in items if (item.vcpus, item.memory_bytes, item.card) == key]
        for key in ((each.vcpus, each.memory_bytes, each.card) for each in alike)
    ]
    found: dict[tuple[int, tuple[tuple[str, int], ...]], int] = {}
    for place, pattern in nodes:
        held = {}
        for own, count in zip(names, pattern, strict=True):
            for name in own:
                if taken := min(count, left[name]):
                    held[name], left[name], count = taken, left[name] - taken, count - taken
        if held:
            key = place, tuple(held.items())
            found[key] = found.get(key, 0) + 1
    return tuple(Node(rooms[place].kind, dict(held), count) for (place, held), count in found.items())


def _matrix(rooms: Sequence[Room], patterns: Sequence[Placed]) -> tuple[Floats, Floats]:
    """Of shape (items, patterns) what each holds, of shape (patterns,) what each costs."""
    holds = np.array([pattern for _, pattern in patterns], dtype=float).T
    return holds, np.array([rooms[place].kind.price_per_hour for place, _ in patterns])
