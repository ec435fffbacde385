"""What is packed, and nodes that hold it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from experiments.fleet.prices import InstanceType

_ROUNDING = 1e-9


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


@dataclass(frozen=True, slots=True)
class Room:
    """A kind of node, and how many of each item one of it may hold at most: by their number, or 0 where the
    item doesn't go there."""

    kind: InstanceType
    most: tuple[int, ...]


def fits(holds: Iterable[tuple[Item, int]], kind: InstanceType) -> bool:
    """Whether one node of a kind holds all of that."""
    held = [(item, count) for item, count in holds if count]
    return (
        sum(item.vcpus * count for item, count in held) <= kind.vcpus * (1 + _ROUNDING)
        and sum(item.memory_bytes * count for item, count in held) <= kind.memory_bytes
        and sum(count for item, count in held if item.card) <= kind.gpus
        and all(item.card in (None, kind.card) for item, _ in held)
    )


def room_of(items: Sequence[Item], kind: InstanceType, cards_apart: bool) -> Room:
    """`cards_apart`: items without a card never go to a node with one."""
    most = (
        item.count if fits([(item, 1)], kind) and not (cards_apart and kind.gpus and not item.card) else 0
        for item in items
    )
    return Room(kind, tuple(most))
