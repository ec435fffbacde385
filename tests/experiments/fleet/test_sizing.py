"""How many instances a rate takes, what a node holds, and what money buys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.offers import Offer, Spread
from experiments.fleet.prices import InstanceType
from experiments.fleet.sizing import (
    instances_on_node,
    needed,
    option,
    per_million,
    per_month,
    per_unit_of_money,
    used,
)
from experiments.plan.slo import Slo

GIB = 2**30
RATES = st.floats(0.01, 1e6)


def test_what_a_dollar_buys_by_the_documents_that_published_their_inputs() -> None:
    # Virtex: embeddings/s on two p3.16xlarge, with and without batches of the client, for 2 x $24.48 an hour.
    assert f"{per_unit_of_money(61_192, 48.96) / 1e6:.3g}" == "4.5"
    assert f"{per_unit_of_money(28_688, 48.96) / 1e6:.3g}" == "2.11"
    # Inferentia, a T4 with ONNX Runtime, a T4 with TensorRT: requests/s of an instance and its price an hour.
    assert per_unit_of_money(1, 0.22) == pytest.approx(16_364, abs=0.5)
    assert per_unit_of_money(0.2, 0.75) == pytest.approx(960)
    assert per_unit_of_money(0.8, 0.75) == pytest.approx(3_840)


def test_the_same_for_a_million_and_a_month() -> None:
    assert per_million(0.75, 0.8) == pytest.approx(1e6 / 3_840)
    assert per_month(2.0) == 1_460


def test_virtexs_example_of_three_nodes_the_right_way_round() -> None:
    # 16 GB of a V100 // 5 GB of the model = 3 on a card, 24 on a node of 8, 72 on three; 64 vCPUs are enough.
    assert instances_on_node(8, 16e9, 5e9, vcpus=64) == 24
    assert 3 * instances_on_node(8, 16e9, 5e9, vcpus=64) == 72
    assert instances_on_node(8, 16e9, 5e9, vcpus=20) == 20
    assert instances_on_node(8, 16e9, 5e9, vcpus=64, vcpus_each=4) == 16
    assert instances_on_node(8, 16e9, 17e9, vcpus=64) == 0


def test_a_model_that_takes_nothing_was_not_measured() -> None:
    with pytest.raises(UsageError, match="give what was measured"):
        instances_on_node(8, 16e9, 0, vcpus=64)


def test_headroom_while_all_are_there_and_the_rate_with_one_lost() -> None:
    assert needed(100, 30) == 4  # 3.33
    assert needed(100, 30, headroom=0.2) == 4  # 120 / 30, just
    assert needed(100, 30, headroom=0.2, spare=1) == 5  # 4 serve 100, and one may be lost
    assert needed(100, 30, headroom=1.0, spare=1) == 7  # 200 / 30: six are left for 100
    assert needed(0, 30) == 1


@given(rate_rps=RATES, capacity_rps=st.floats(0.1, 1e4), headroom=st.floats(0, 3), spare=st.integers(0, 3))
def test_whatever_is_lost_the_rate_is_served(
    rate_rps: float, capacity_rps: float, headroom: float, spare: int
) -> None:
    count = needed(rate_rps, capacity_rps, headroom, spare)
    assert (count - spare) * capacity_rps >= rate_rps * (1 - 1e-6)
    assert count * capacity_rps >= rate_rps * (1 + headroom) * (1 - 1e-6)
    fewer = count - 1
    assert fewer == 0 or (
        (fewer - spare) * capacity_rps < rate_rps * (1 + 1e-6)
        or fewer * capacity_rps < rate_rps * (1 + headroom) * (1 + 1e-6)
    )


def test_the_slowest_and_the_fastest_run_leave_a_range() -> None:
    found = option(a_demand(100, spare=0, headroom=0), an_offer(Spread(20, 25, 34)))
    assert (found.units.low, found.count, found.units.high) == (3, 4, 5)


def test_a_day_that_is_followed_takes_fewer_hours() -> None:
    # Half a day 100 requests/s, which take 4 of 25, half a day 25, which take 1.
    demand = a_demand(*[100.0] * 12, *[25.0] * 12, spare=0, headroom=0)
    found = option(demand, an_offer(Spread(25, 25, 25)))
    assert found.count == 4
    assert found.mean_units == 2.5


def test_what_is_short_next() -> None:
    kind = InstanceType(
        "card-2", 2.0, vcpus=16, memory_bytes=64 * GIB, gpus=2, card="A", gpu_memory_bytes=16 * GIB
    )
    found = option(a_demand(100, spare=0, headroom=0), an_offer(Spread(40, 40, 40), card="A"))
    assert used(found, kind) == {
        "rate": pytest.approx(100 / 120),  # three cards
        "card memory": 0.25,
        "vCPUs": 0.5,  # two of them on a node, 4 vCPUs each
        "memory": 0.25,
    }


@pytest.mark.parametrize(
    "rates_rps", [(), (1.0,) * 23, (1.0,) * 97, (-1.0,), (0.0,), (0.0,) * 24, (float("nan"),)]
)
def test_rates_that_are_none(rates_rps: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"^search"):
        a_demand(*rates_rps)


def a_demand(*rates_rps: float, headroom: float = 0.2, spare: int = 1) -> Demand:
    return Demand("search", "bert", rates_rps, Slo(99, 100), headroom, spare)


def an_offer(rps: Spread, card: str | None = None) -> Offer:
    return Offer(
        model="bert",
        way="whole" if card else "CPU",
        card=card,
        rps=rps,
        vcpus=4,
        memory_bytes=8 * GIB,
        source="here",
        gpu_memory_bytes=4 * GIB if card else None,
    )
