"""The cards of a cluster, from what its nodes have."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError, UsageError
from experiments.cluster.dealt import Node, Seat, deal, deal_loads, refuse_without_loads
from experiments.load.sources import LOOPBACK


def a_node(name: str, cores: int = 8, promised: int | None = None, gpus: int = 0, machine: str = "") -> Node:
    promised = cores if promised is None else promised
    return Node(name, f"host-{machine or name}", machine or name, tuple(range(cores)), promised, gpus)


def test_a_node_without_gpus_is_one_card_or_as_many_as_its_cores_make() -> None:
    assert [seat.name for seat in deal([a_node("n")])] == ["host-n cores 0-7"]
    assert [seat.cores for seat in deal([a_node("n", 7)], 2)] == [(0, 1), (2, 3), (4, 5)]


def test_nodes_of_one_machine_share_its_cores() -> None:
    seats = deal([a_node("one", 2, 1, machine="m"), a_node("two", 2, 1, machine="m")])
    assert [(seat.node, seat.name) for seat in seats] == [("one", "host-m core 0"), ("two", "host-m core 1")]


def test_every_gpu_is_a_card_with_its_part_of_the_cores_and_a_head_without_is_none() -> None:
    seats = deal([a_node("head"), a_node("gpus", 8, gpus=2)])
    assert [(seat.node, seat.cores, seat.gpu) for seat in seats] == [
        ("gpus", (0, 1, 2, 3), True),
        ("gpus", (4, 5, 6, 7), True),
    ]
    assert not any(seat.gpu for seat in deal([a_node("gpus", gpus=2)], cpu=True))


def test_what_can_not_be_dealt_is_refused() -> None:
    with pytest.raises(ExperimentError, match="promise more cores than the 2"):
        deal([a_node("one", 2, machine="m"), a_node("two", 2, machine="m")])
    with pytest.raises(UsageError, match="--card-cores 9: no node of the cluster has more than 8"):
        deal([a_node("n")], 9)


def test_a_node_that_loads_holds_no_card_and_each_card_has_its_loads_from_cores_of_their_own() -> None:
    nodes = [
        a_node("a"),
        a_node("b"),
        replace(a_node("x", 6), loads=True),
        replace(a_node("y", 4), loads=True),
    ]
    seats = deal(nodes)
    assert [seat.node for seat in seats] == ["a", "b"]
    loads = deal_loads(nodes, seats, "load")
    assert [(each.node, each.name) for each in loads] == [
        ("x", "host-x cores 0-3"),
        ("y", "host-y cores 0-3"),
    ]
    several = deal_loads(nodes, [Seat("a", str(number), (number,)) for number in range(5)], "load")
    assert [(each.node, each.cores) for each in several] == [
        ("x", (0, 1)),
        ("y", (0, 1)),
        ("x", (2, 3)),
        ("y", (2, 3)),
        ("x", (4, 5)),
    ]


def test_nodes_of_one_machine_that_load_and_are_measured_have_no_core_in_common() -> None:
    nodes = [a_node("a", 2, 1, machine="m"), replace(a_node("x", 2, 1, machine="m"), loads=True)]
    seats = deal(nodes)
    (load,) = deal_loads(nodes, seats, "load")
    assert (seats[0].cores, load.cores) == ((0,), (1,))


def test_a_server_listens_on_loopback_unless_its_load_comes_from_another_address() -> None:
    def listens_on(own: str, loading: str) -> str:
        nodes = [replace(a_node("a"), address=own), replace(a_node("x"), address=loading, loads=True)]
        return deal_loads(nodes, deal(nodes), "load")[0].listens_on

    assert listens_on("10.0.0.1", "10.0.0.1") == LOOPBACK
    assert listens_on("10.0.0.1", "10.0.0.2") == "10.0.0.1"
    assert listens_on("100.64.0.1", "10.0.0.2") == "100.64.0.1"  # shared by networks of providers (RFC 6598)
    for public in ("8.8.8.8", "2001:db8::1", "0.0.0.0", "somewhere"):
        with pytest.raises(ExperimentError, match="which is no private IPv4 address: start Ray there"):
            listens_on(public, "10.0.0.2")


def test_loads_that_can_not_come_from_another_node_are_refused() -> None:
    nodes = [a_node("a"), replace(a_node("x", 1), loads=True)]
    with pytest.raises(UsageError, match=r"2 cards take a core each for their loads, .* have 1: start more"):
        deal_loads(nodes, deal(nodes, 4), "load")
    with pytest.raises(
        UsageError, match=r"no node of the cluster has that resource: .* --resources='{\"load\": 1}'"
    ):
        refuse_without_loads(nodes[:1], "load")
    with pytest.raises(UsageError, match="every node of the cluster has that resource, none is left"):
        refuse_without_loads(nodes[1:], "load")
    refuse_without_loads(nodes, "load")


@given(
    st.lists(st.tuples(st.integers(1, 16), st.integers(0, 4), st.sampled_from("xy")), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(1, 4)),
)
def test_no_core_is_dealt_twice(shapes: list[tuple[int, int, str]], size: int | None) -> None:
    nodes = [a_node(f"{i}", 100, promised, gpus, m) for i, (promised, gpus, m) in enumerate(shapes)]
    try:
        seats = deal(nodes, size)
    except UsageError:
        return
    machine = {node.id: node.machine for node in nodes}
    dealt = [(machine[seat.node], core) for seat in seats for core in seat.cores]
    assert len(dealt) == len(set(dealt))
    assert len({seat.name for seat in seats if seat.cores}) == len([seat for seat in seats if seat.cores])
