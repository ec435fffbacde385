"""Demands placed on whole cards, shares and MIG instances of profiles that others have published."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.fleet.demand import Demand
from experiments.fleet.fleet import plan_fleet, services
from experiments.fleet.offers import Refusal
from experiments.fleet.prices import InstanceType, Prices
from experiments.fleet.shares import Profile, options_in, read_profiles, together
from experiments.fleet.sizing import Option
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.problem import Rules
from experiments.placement.steps import problem_of
from experiments.placement.strategies.bound import fluid_bound
from experiments.plan.slo import Slo

GIB = 2**30
DATA = ROOT / "benchmarks" / "data" / "gpulet"
PUBLISHED = ROOT / "results" / "published"
PRICES = Prices(
    "USD",
    "nowhere",
    "2026-11-26",
    tuple(
        InstanceType(card, 1.0, 16, 64 * GIB, gpus=1, card=card, gpu_memory_bytes=11 * GIB)
        for card in ("2080 Ti", "A100", "NVIDIA H200", "made-up")
    ),
)


def a_demand(model: str, rate_rps: float, bound_ms: float = 112) -> Demand:
    return Demand(model, model, (rate_rps,), Slo(99, bound_ms), vcpus=2, memory_bytes=4 * GIB)


def ways(profile: Profile, demand: Demand) -> dict[str, Option | Refusal]:
    return {
        (each.offer.way if isinstance(each, Option) else each.way): each
        for each in options_in(profile, demand, PRICES)
    }


@pytest.mark.thorough
def test_shares_need_fewer_cards_than_whole_ones_where_a_model_does_not_fill_one() -> None:
    # A batch of 1 takes 10 ms on the whole card and on half of it: 100 requests/s of a card, 200 of halves.
    points = [Measured("small", size, 1, 10.0) for size in (50, 100)]
    table = LatencyTable(points)
    profile = Profile("made-up", "here", table, table, table, {})
    found = ways(profile, replace(a_demand("small", 300, 1000), headroom=0.0))
    whole, shares = found["whole"], found["shares"]
    assert isinstance(whole, Option)
    assert isinstance(shares, Option)
    assert shares.count < whole.count
    assert whole.count >= 4  # three, and a spare one
    assert shares.count >= 3
    assert (shares.offer.instances_per_card, shares.offer.share_percent) == (2, 50)


@pytest.mark.thorough
def test_a_published_card_in_shares_and_the_service_that_it_is() -> None:
    (profile,) = read_profiles([f"2080 Ti={DATA / 'rtx2080ti_latency_fig3.csv'}"])
    demand = a_demand("googlenet", 900)
    fleet = plan_fleet([demand], PRICES, profiles=[profile])
    assert {row.way: row.why for row in fleet.planned[0].rows if not row.option} == {
        "time-slicing": "not measured",
        "MPS": "not measured",
        "MIG": "not measured",
    }
    (service,) = services(fleet)
    assert service.card == "2080 Ti"
    assert (service.instances - service.instances_per_card) * service.capacity_rps >= 900


@pytest.mark.thorough
def test_a_profile_of_mig_instances() -> None:
    (profile,) = read_profiles([f"A100={DATA / 'a100_mig_parvagpu_profile.csv'}"])
    found = ways(profile, a_demand("resnet50", 500, 300))
    assert list(found) == ["MIG"]
    assert isinstance(found["MIG"], Option)


@pytest.mark.thorough
def test_the_rounds_of_our_own_profile_leave_a_range() -> None:
    (profile,) = read_profiles([str(PUBLISHED / "h200-profile-bert-fp16.csv")])
    assert profile.card == "NVIDIA H200"
    found = ways(profile, a_demand("bert", 12_000, 50))
    whole = found["whole"]
    assert isinstance(whole, Option)
    assert whole.units.low < whole.units.likely < whole.units.high


@pytest.mark.thorough
def test_two_files_of_one_card_are_placed_together() -> None:
    files = [str(PUBLISHED / f"h200-profile-{model}-fp16.csv") for model in ("bert", "resnet50")]
    (profile,) = read_profiles(files)
    demands = [a_demand("bert", 100, 100), a_demand("resnet50", 100, 100)]
    found = together(profile, demands, PRICES)
    assert found is not None
    assert found.at_least == found.cards == 1  # each would take one of its own


def test_what_a_profile_does_not_tell() -> None:
    (profile,) = read_profiles([f"2080 Ti={DATA / 'rtx2080ti_latency_fig3.csv'}"])
    found = options_in(profile, replace(a_demand("googlenet", 9), vcpus=None), PRICES)
    assert {each.why for each in found if isinstance(each, Refusal)} == {
        "a profile tells no vCPUs and memory of the host: give `vcpus` and `memory_gib`"
    }
    assert options_in(profile, a_demand("bert", 9), PRICES) == []
    (refused, _) = options_in(profile, a_demand("googlenet", 9, bound_ms=1), PRICES)
    assert isinstance(refused, Refusal)
    assert refused.why.startswith("bound not kept: googlenet: its fastest batch takes")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (str(DATA / "rtx2080ti_latency_fig3.csv"), "doesn't tell its card: write CARD="),
        (str(PUBLISHED / "cpu-epyc-2-cores-two-models" / "profile.csv"), "is of a CPU, which nobody rents"),
        ("A100=none.csv", "none.csv can't be read"),
    ],
)
def test_profiles_that_are_none(text: str, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_profiles([text])
    assert line in str(raised.value)


def test_a_profile_that_has_none_of_the_models(tmp_path: Path) -> None:
    profiles = read_profiles([f"2080 Ti={DATA / 'rtx2080ti_latency_fig3.csv'}"])
    with pytest.raises(UsageError, match="has none of the models asked for: leave it out"):
        plan_fleet([a_demand("bert", 9)], PRICES, profiles=profiles)


@pytest.mark.thorough
@settings(max_examples=6, deadline=None)
@given(rate_rps=st.floats(1, 1500), spare=st.integers(0, 2))
def test_never_fewer_cards_than_the_placements_lower_bound(rate_rps: float, spare: int) -> None:
    (profile,) = read_profiles([f"2080 Ti={DATA / 'rtx2080ti_latency_fig3.csv'}"])
    demand = replace(a_demand("googlenet", rate_rps), spare=spare)
    for found in options_in(profile, demand, PRICES):
        if isinstance(found, Option):
            sizes = profile.sizes if found.offer.way == "shares" else {100}
            peak = [Workload("googlenet", "googlenet", rate_rps * 1.2, 112)]
            least = fluid_bound(problem_of(peak, profile.table.only(sizes), Rules(), 2))
            assert found.count - spare >= max(least, found.at_least)
            assert found.units.low >= spare + 1
            assert (found.count - spare) * found.offer.rps.likely >= rate_rps * (1 - 1e-6)
