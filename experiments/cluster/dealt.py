"""The cards of a cluster: its GPUs, or on CPUs shares of cores; and where their loads come from. Pure: which
cores each of them keeps to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from experiments.base.errors import ExperimentError, UsageError
from experiments.load.sources import LOOPBACK


@dataclass(frozen=True, slots=True)
class Node:
    """A node as Ray knows it. `machine` is equal for nodes that share a machine, and with it `cores`, those
    that a process may use there; `promised` of them are the node's. One that `loads` holds no card, but sends
    the loads of others'. `address` is where the nodes of the cluster reach it."""

    id: str
    host: str
    machine: str
    cores: tuple[int, ...]
    promised: int
    gpus: int = 0
    loads: bool = False
    address: str = LOOPBACK


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one card's program: on a node, on these cores, with a GPU of the node or without."""

    node: str
    name: str
    cores: tuple[int, ...]
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class LoadSeat:
    """A place for the program that sends the loads of one card, whose server `listens_on` this address."""

    node: str
    name: str
    cores: tuple[int, ...]
    listens_on: str


def deal(nodes: Sequence[Node], cores_a_card: int | None = None, *, cpu: bool = False) -> list[Seat]:
    """A seat for every GPU of the cluster; with `cpu`, or where there is none, one for every `cores_a_card`
    of a node's cores, by default for all of them; on nodes that load none. No two seats have a core in
    common; where a node has more GPUs than cores, theirs keep to none.

    Raises UsageError where no node has so many cores, ExperimentError where nodes that share a machine
    promise more of them than it has.
    """
    measured = [node for node in _in_order(nodes) if not node.loads]
    gpu = not cpu and any(node.gpus for node in measured)
    cores_of = _shared_out(nodes)
    seats: list[Seat] = []
    for node in measured:
        own = cores_of[node.id]
        size = len(own) // node.gpus if gpu and node.gpus else cores_a_card or len(own)
        count = node.gpus if gpu else len(own) // size if size else 0
        for number in range(count):
            cores = own[number * size : (number + 1) * size]
            seats.append(Seat(node.id, f"{node.host} {_told(cores)}", cores, gpu))
    if not seats:
        most = max((node.promised for node in measured), default=0)
        raise UsageError(
            f"--card-cores {cores_a_card or 1}: no node of the cluster has more than {most} cores"
        )
    return seats


def deal_loads(nodes: Sequence[Node], seats: Sequence[Seat], resource: str) -> list[LoadSeat]:
    """For every card a seat on a node that loads; all have as many cores, the most that go round.

    A server that is loaded from another address listens on that of its own node, else on loopback. Raises
    UsageError where the nodes that load, those with `resource`, have too few cores, ExperimentError where a
    server would have to listen on a public address.
    """
    cores_of = _shared_out(nodes)
    loading = [node for node in _in_order(nodes) if node.loads]
    most = max((len(cores_of[node.id]) for node in loading), default=0)
    fits = (size for size in range(most, 0, -1) if len(_pieces(loading, cores_of, size)) >= len(seats))
    size = next(fits, None)
    if size is None:
        has = sum(len(cores_of[node.id]) for node in loading)
        raise UsageError(
            f"--load-from {resource}: {len(seats)} cards take a core each for their loads, the nodes with "
            f"that resource have {has}: start more of them, or make fewer cards"
        )
    address_of = {node.id: node.address for node in nodes}
    return [
        LoadSeat(node.id, f"{node.host} {_told(own)}", own, _listens_on(address_of[seat.node], node.address))
        for seat, (node, own) in zip(seats, _pieces(loading, cores_of, size), strict=False)
    ]


def refuse_without_loads(nodes: Sequence[Node], resource: str) -> None:
    """Raises UsageError where no node loads, or no other node is left to be measured."""
    if not any(node.loads for node in nodes):
        raise UsageError(
            f"--load-from {resource}: no node of the cluster has that resource: start one with `ray start "
            f"--resources='{{\"{resource}\": 1}}'`"
        )
    if all(node.loads for node in nodes):
        raise UsageError(
            f"--load-from {resource}: every node of the cluster has that resource, none is left to be "
            "measured: start one without it"
        )


def _pieces(
    nodes: Sequence[Node], cores_of: Mapping[str, tuple[int, ...]], size: int
) -> list[tuple[Node, tuple[int, ...]]]:
    """The nodes' cores in pieces of a size: the first of every node, then the second of each, and so on."""
    found = [
        (number, place, node, cores_of[node.id][number * size : (number + 1) * size])
        for place, node in enumerate(nodes)
        for number in range(len(cores_of[node.id]) // size)
    ]
    return [(node, own) for _, _, node, own in sorted(found, key=lambda each: each[:2])]


def _listens_on(own: str, loading: str) -> str:
    if own == loading:
        return LOOPBACK
    try:
        address = IPv4Address(own)
        private = not (address.is_global or address.is_unspecified)
    except AddressValueError:
        private = False
    if not private:
        raise ExperimentError(
            f"--load-from: TorchServe would have to listen on {own}, which is no private IPv4 address: start "
            "Ray there with --node-ip-address and one that is"
        )
    return own


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda each: (each.host, each.id))


def _shared_out(nodes: Sequence[Node]) -> dict[str, tuple[int, ...]]:
    """The cores of each node by its id. Raises ExperimentError."""
    taken: dict[str, set[int]] = {}
    return {node.id: _own(node, taken.setdefault(node.machine, set())) for node in _in_order(nodes)}


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
