"""Placements to make pages of: of models that behave as computed, and the published one that was measured."""

import json
from collections.abc import Sequence

from experiments.base.paths import ROOT
from experiments.placement.demand import Workload, read_demand
from experiments.placement.deployment.batches import ServedBatches
from experiments.placement.deployment.live import Proven
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem, Rules
from experiments.placement.readers import read_latencies
from experiments.placement.simulation import Outcome
from experiments.placement.steps import place, predict, problem_of
from experiments.report.placement import Placing
from tests.experiments.placement.profiles import problem

PUBLISHED = ROOT / "results" / "published" / "cpu-epyc-2-cores-two-models"
SLICES = ROOT / "benchmarks" / "data" / "gpulet" / "a100_mig_parvagpu_profile.csv"
HOSTILE = "<script>alert(1)</script>", "a|b & $x_1$ \n" + "long" * 60


def a_placing(asked: Problem, gpus: int = 4, strategy: str = "search") -> Placing:
    """Placed by a strategy, and predicted; not measured."""
    found = place(asked, gpus, strategy)
    predicted = predict(asked, found.placement)
    return Placing(asked, found.placement, found.at_least, gpus, strategy, predicted)


def of_many(count: int = 12, rate_rps: float = 5.0) -> Placing:
    """So many models, each slower than the one before, with bounds that get longer."""
    models = {f"m{number}": 1.0 + number for number in range(count)}
    asked = [(model, rate_rps, 40 + 30 * ms) for model, ms in models.items()]
    return a_placing(problem(*asked, **models), gpus=40)


def of_slices() -> Placing:
    """Three models on MIG instances, by ParvaGPU's profile."""
    workloads = [Workload(model, model, 40.0, 200.0) for model in ("resnet50", "vgg16", "bert")]
    return a_placing(problem_of(workloads, read_latencies(SLICES), Rules(), 2))


def of_hostile_names(names: Sequence[str] = HOSTILE) -> Placing:
    """Two workloads whose names are no names."""
    asked = problem(("a", 50, 60), ("b", 20, 100))
    workloads = [
        Workload(name, workload.model, workload.rate_rps, workload.slo_ms)
        for name, workload in zip(names, asked.workloads, strict=True)
    ]
    return a_placing(Problem(tuple(workloads), asked.table, asked.rules))


def published() -> Placing:
    """BERT and ResNet50 on 2 cores of an AMD EPYC, by the files of its run (--run --models-per-part 1)."""
    placement = json.loads((PUBLISHED / "placement.json").read_text("utf-8"))
    measured = json.loads((PUBLISHED / "measured.json").read_text("utf-8"))
    table = read_latencies(PUBLISHED / "profile.csv")
    asked = problem_of(read_demand(PUBLISHED / "demand.yaml"), table, Rules(models_per_part=1), 2)
    gpus = tuple(
        tuple(
            Part(part["size"], part["duty_ms"], tuple(Resident(**each) for each in part["residents"]))
            for part in parts
        )
        for parts in placement["gpus"]
    )
    proven = Proven(
        [Outcome(**each) for each in measured["predicted"]],
        [Outcome(**each) for each in measured["measured"]],
        [ServedBatches(**each) for each in measured["batches"]],
        measured["problems"],
    )
    predicted = predict(asked, Placement(gpus))
    where, at_least = measured["measured_on"], placement["gpus_at_least"]
    return Placing(asked, Placement(gpus), at_least, 1, "search", predicted, 0, proven, where)
