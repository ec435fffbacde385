"""The cards of a cluster: its GPUs, or on CPUs shares of cores. Pure: which cores each of them keeps to."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.base.errors import ExperimentError, UsageError


@dataclass(frozen=True, slots=True)
class Node:
    """A node as Ray knows it. `machine` is equal for nodes that share a machine, and with it `cores`, those
    that a process may use there; `promised` of them are the node's."""

    id: str
    host: str
    machine: str
    cores: tuple[int, ...]
    promised: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one card's program: on a node, on these cores, with a GPU of the node or without."""

    node: str
    name: str
    cores: tuple[int, ...]
    gpu: bool = False


def deal(nodes: Sequence[Node], cores_a_card: int | None = None, *, cpu: bool = False) -> list[Seat]:
    """A seat for every GPU of the cluster; with `cpu`, or where there is none, one for every `cores_a_card`
    of a node's cores, by default for all of them. No two seats have a core in common; where a node has more
    GPUs than cores, theirs keep to none.

    Raises UsageError where no node has so many cores, ExperimentError where nodes that share a machine
    promise more of them than it has.
    """
    gpu = not cpu and any(node.gpus for node in nodes)
    taken: dict[str, set[int]] = {}
    seats: list[Seat] = []
    for node in sorted(nodes, key=lambda each: (each.host, each.id)):
        own = _own(node, taken.setdefault(node.machine, set()))
        size = len(own) // node.gpus if gpu and node.gpus else cores_a_card or len(own)
        count = node.gpus if gpu else len(own) // size if size else 0
        for number in range(count):
            cores = own[number * size : (number + 1) * size]
            seats.append(Seat(node.id, f"{node.host} {_told(cores)}", cores, gpu))
    if not seats:
        most = max((node.promised for node in nodes), default=0)
        raise UsageError(
            f"--card-cores {cores_a_card or 1}: no node of the cluster has more than {most} cores"
        )
    return seats


def _own(node: Node, taken: set[int]) -> tuple[int, ...]:
    """The cores of a node, of those that no other node of its machine has."""
    free = [core for core in node.cores if core not in taken]
    if len(free) < node.promised:
        raise ExperimentError(
            f"the Ray nodes on {node.host} promise more cores than the {len(node.cores)} that can be used "
            "there: start them with a smaller --num-cpus"
        )
    own = tuple(free[: node.promised])
    taken.update(own)
    return own


def _told(cores: Sequence[int]) -> str:
    """'core 3', 'cores 0-3', 'cores 0,2'."""
    if len(cores) == 1:
        return f"core {cores[0]}"
    if len(cores) > 1 and cores[-1] - cores[0] == len(cores) - 1:
        return f"cores {cores[0]}-{cores[-1]}"
    return f"cores {','.join(map(str, cores))}"
