"""What a results folder says that an instance does within a bound."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.base.errors import UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.measured import offers_in
from experiments.fleet.offers import Offer, Refusal
from experiments.plan import Plan
from experiments.plan.slo import Slo
from experiments.results import Results, TrialResult
from experiments.verdict.verdict import judge
from tests.support.builders import a_gpu_telemetry, a_result
from tests.support.report_folders import BOTH_ARMS, ENVIRONMENT, WITHOUT_GPU

SLO = Slo(99, 100)
DEMAND = Demand("search", "bert", (100.0,), SLO)
GIB = 2**30


def offers(
    plan: Plan,
    measured: Callable[[TrialResult], TrialResult] = lambda result: result,
    environment: Mapping[str, Any] = ENVIRONMENT,
    demand: Demand = DEMAND,
) -> tuple[list[Offer], list[Refusal]]:
    telemetry = a_gpu_telemetry(3 * GIB, 50.0)
    trials = tuple(measured(a_result(trial, telemetry=telemetry)) for trial in plan.trials())
    return offers_in(judge(Results(Path("here"), plan, trials, environment)), demand)


def test_a_way_for_each_arm_and_number_of_workers() -> None:
    found, refused = offers(BOTH_ARMS)
    assert {offer.way for offer in found} == {"whole", "time-slicing", "MPS"}
    assert refused == []
    for offer in found:
        assert offer.card == "NVIDIA Abacus"
        assert offer.vcpus == 2  # the server's 0.5 and the workers' 1.5
        assert offer.memory_bytes == 2**29 + 2**31  # resident, of both
        assert offer.gpu_memory_bytes == 2 * GIB  # 3 in use, 1 before the server started
        assert "stood in for" in offer.source


def test_shares_and_mig_are_told_apart() -> None:
    shares, _ = offers(Plan(workers=(2,), batch_size=(1,), with_mps=True, thread_percentage=(50,), runs=3))
    assert {(each.way, each.share_percent) for each in shares} == {("time-slicing", None), ("shares", 50)}
    gpu = {**ENVIRONMENT["gpus"][0], "mig": True}
    ((mig,), _) = offers(
        Plan(workers=(2,), batch_size=(1,), runs=3), environment={**ENVIRONMENT, "gpus": [gpu]}
    )
    assert mig.way == "MIG"
    assert "one MIG instance to a card" in str(mig)


def test_on_a_cpu_an_instance_has_the_cores_that_it_was_measured_with() -> None:
    ((offer,), _) = offers(Plan(workers=(2,), batch_size=(1,), runs=3), environment=WITHOUT_GPU)
    assert (offer.way, offer.card, offer.vcpus) == ("CPU", None, 16)


def test_a_cell_counts_where_every_run_keeps_the_bound() -> None:
    def one_slow(result: TrialResult) -> TrialResult:
        slow = result.trial.cell.batch_size == 8 and result.trial.run == 2
        rps = 400.0 if result.trial.cell.batch_size == 8 else 100.0
        return replace(
            result, throughput_rps=rps, latency_ms={**result.latency_ms, "p99": 101.0 if slow else 99.0}
        )

    ((offer,), _) = offers(Plan(workers=(1,), batch_size=(1, 8), runs=3), one_slow)
    assert (offer.batch_size, offer.rps.likely) == (1, 100)


def test_what_arrives_by_itself_counts_before_what_waits_for_its_answers() -> None:
    plan = Plan(workers=(1,), batch_size=(1,), rate_rps=(50.0, 80.0), runs=3)
    ((offer,), _) = offers(
        plan, lambda result: replace(result, throughput_rps=result.trial.cell.rate_rps or 0.0)
    )
    assert offer.rps.likely == 80
    assert "sent 80 requests/s" in str(offer)


@pytest.mark.parametrize(
    ("searched", "kept"),
    [
        ("p99=100ms", True),
        ("p99=50ms", True),
        ("p99.9=80ms", True),
        ("p99=200ms", False),
        ("p95=100ms", False),
    ],
)
def test_a_goodput_keeps_the_bound_that_it_was_searched_for(searched: str, kept: bool) -> None:
    plan = Plan(workers=(1,), batch_size=(1,), runs=3, slo=searched)
    found, refused = offers(plan, lambda result: replace(result, goodput={"slo": searched}))
    assert (bool(found), bool(refused)) == (kept, not kept)


def test_what_an_instance_takes_is_measured_or_said() -> None:
    plan = Plan(workers=(1,), batch_size=(1,), runs=3)
    ((offer,), _) = offers(plan, demand=replace(DEMAND, vcpus=3.0, memory_bytes=5 * GIB))
    assert (offer.vcpus, offer.memory_bytes) == (3, 5 * GIB)
    with pytest.raises(UsageError, match="doesn't tell the vCPUs of an instance: give `vcpus`"):
        offers(plan, lambda result: replace(result, telemetry=None))
    with pytest.raises(UsageError, match="doesn't tell the memory of an instance: give `memory_gib`"):
        offers(plan, lambda result: replace(result, telemetry=None), demand=replace(DEMAND, vcpus=3.0))
