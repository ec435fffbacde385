"""Instances packed onto nodes: nothing left out, nothing over the edge, and never below the bound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.packing import Item, Packed, fits, pack, patterns
from experiments.fleet.prices import InstanceType

GIB = 2**30
CPU = InstanceType("cpu-4", 1.0, vcpus=4, memory_bytes=16 * GIB)
CARD = InstanceType("card-1", 3.0, vcpus=8, memory_bytes=32 * GIB, gpus=1, card="A")


def an_item(name: str, count: int, vcpus: float = 1, memory_gib: float = 1, card: str | None = None) -> Item:
    return Item(name, count, vcpus, round(memory_gib * GIB), card)


def test_services_of_cpus_fill_what_nodes_with_cards_leave() -> None:
    # Two cards take 2 x 2 of 16 vCPUs. 12 are left for the 14 of the others: one more node, for two of them.
    items = [an_item("on cards", 2, vcpus=2, card="A"), an_item("beside", 14)]
    packed = pack(items, [CPU, CARD])
    assert packed.counts() == {"card-1": 2, "cpu-4": 1}
    assert packed.per_hour == packed.at_least_per_hour == pytest.approx(7)


def test_kept_apart_they_need_nodes_of_their_own() -> None:
    items = [an_item("on cards", 2, vcpus=2, card="A"), an_item("beside", 14)]
    assert pack(items, [CPU, CARD], cards_apart=True).counts() == {"card-1": 2, "cpu-4": 4}


def test_memory_binds_where_it_is_the_scarcer() -> None:
    assert pack([an_item("large", 3, memory_gib=8)], [CPU]).counts() == {"cpu-4": 2}


def test_the_cheapest_mix_of_kinds() -> None:
    large = InstanceType("cpu-16", 3.0, vcpus=16, memory_bytes=64 * GIB)
    assert pack([an_item("one", 20)], [CPU, large]).counts() == {"cpu-16": 1, "cpu-4": 1}


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (
            an_item("wide", 1, vcpus=9),
            "wide: no instance type without a card has 9 vCPUs and 1 GiB free: add one",
        ),
        (
            an_item("wide", 1, vcpus=9, card="A"),
            "wide: no instance type beside a card 'A' has 9 vCPUs and 1 GiB free",
        ),
        (an_item("many", 10**6), "many: 1,000,000 instances are too many to pack: ask for a part of them"),
        (an_item("other", 1, card="B"), "other: there is no price for a card 'B': add an instance type"),
    ],
)
def test_what_fits_nowhere(item: Item, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        pack([item], [CPU, CARD])
    assert str(raised.value).startswith(line)


def test_no_node_with_a_card_is_rented_for_others() -> None:
    cheap = InstanceType("card-1", 0.5, vcpus=8, memory_bytes=32 * GIB, gpus=1, card="A")
    items = [an_item("on a card", 1, card="A"), an_item("others", 40)]
    assert pack(items, [CPU, cheap]).counts() == {"cpu-4": 9, "card-1": 1}
    with pytest.raises(UsageError, match=r"others: no instance type without a card has 1 vCPUs"):
        pack(items, [cheap])


def test_nothing_takes_nothing() -> None:
    assert pack([an_item("none", 0)], [CPU]).nodes == ()


ITEMS = st.lists(
    st.builds(
        an_item,
        st.just(""),
        st.integers(1, 30),
        st.sampled_from([0.5, 1, 2, 3]),
        st.sampled_from([0.5, 1, 3, 7]),
        st.sampled_from([None, None, "A"]),
    ),
    min_size=1,
    max_size=4,
).map(
    lambda items: [
        an_item(str(n), i.count, i.vcpus, i.memory_bytes / GIB, i.card) for n, i in enumerate(items)
    ]
)
KINDS = [
    CPU,
    CARD,
    InstanceType("card-4", 10.0, 24, 96 * GIB, 4, "A"),
    InstanceType("cpu-8", 1.9, 8, 32 * GIB),
]


def test_what_fills_many_nodes_is_packed_as_well_as_where_all_patterns_are_listed() -> None:
    items = [
        an_item("a", 29, 0.5, 0.5),
        an_item("b", 13, 3, 7),
        an_item("c", 5, 1, 3, "A"),
        an_item("d", 9, 2, 1),
    ]
    listed = pack(items, KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "LISTED", 0)
        made = pack(items, KINDS)
    assert made.at_least_per_hour <= listed.per_hour <= made.per_hour <= 1.1 * listed.per_hour


def check(packed: Packed, items: list[Item]) -> None:
    by_name = {item.name: item for item in items}
    for node in packed.nodes:
        assert fits([(by_name[name], count) for name, count in node.holds.items()], node.kind)
    for item in items:
        assert sum(node.count * node.holds.get(item.name, 0) for node in packed.nodes) == item.count
    assert packed.per_hour >= packed.at_least_per_hour - 1e-6


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(items=ITEMS)
def test_everything_is_packed_and_no_node_is_overfull(items: list[Item]) -> None:
    check(pack(items, KINDS), items)
    check(pack(items, KINDS, cards_apart=True), items)


@pytest.mark.thorough
@settings(max_examples=20, deadline=None)
@given(items=ITEMS)
def test_patterns_made_as_they_are_needed_keep_the_same_rules(items: list[Item]) -> None:
    listed = pack(items, KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "LISTED", 0)
        made = pack(items, KINDS)
    check(made, items)
    assert made.at_least_per_hour <= listed.per_hour + 1e-6
    assert made.per_hour >= listed.per_hour - 1e-6


@pytest.mark.thorough
def test_thousands_of_instances_are_packed_too() -> None:
    items = [an_item(str(n), 900 + n, vcpus=0.5 + n / 4, memory_gib=1 + n) for n in range(8)]
    large = InstanceType("cpu-96", 20.0, vcpus=96, memory_bytes=384 * GIB)
    packed = pack(items, [CPU, large])
    check(packed, items)
    assert packed.per_hour <= 1.02 * packed.at_least_per_hour
