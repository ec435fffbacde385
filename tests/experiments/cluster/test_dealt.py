"""The cards of a cluster, from what its nodes have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError, UsageError
from experiments.cluster.dealt import Node, deal


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
