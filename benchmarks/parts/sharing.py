"""Placements that others published figures of, from benchmarks/data/gpulet: profiles, rules, demands."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from scipy.stats import poisson

from experiments.placement.card import Slices
from experiments.placement.checker import latencies_ms, violations
from experiments.placement.demand import Workload
from experiments.placement.interference import NOT_FELT, Linear, Use
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Memory, Problem, Rules
from experiments.placement.readers import read_latencies

DATA = Path(__file__).parents[1] / "data" / "gpulet"
TRAFFIC = {"ssd-mobilenetv1": 90, "googlenet": 112, "vgg16": 112}
THREE = {"resnet50": 108, "ssd-mobilenetv1": 202, "vgg16": 142}
SCEN3 = {"resnet50": 27, "vgg16": 38, "mobilenet_v2": 16}
FOUR = {"googlenet": 66, **THREE}
"""Bounds in ms: of the paper's traffic application, and of its table of models."""

Row = Mapping[str, str]


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a file of figures, without its comments."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@cache
def rtx2080ti() -> LatencyTable:
    """The paper's own latencies."""
    return read_latencies(DATA / "rtx2080ti_latency_fig3.csv")


@cache
def v100() -> LatencyTable:
    """iGniter's profile of a V100. On the whole GPU only single requests were measured."""
    return read_latencies(DATA / "v100_mps_latency.csv")


@cache
def a100() -> LatencyTable:
    """Profile of an A100 by ParvaGPU's authors, without the rows that they dropped."""
    return read_latencies(DATA / "a100_mps_latency.csv")


@cache
def parvagpu() -> LatencyTable:
    """ParvaGPU's profile of MIG slices and processes in them; throughputs are exact, latencies whole ms."""
    return read_latencies(DATA / "a100_mig_parvagpu_profile.csv")


def prototype_rules(interference: bool) -> Rules:
    """The gpu-let prototype's rules as shipped for the 2080 Ti, but for its limit on the network."""
    models = rows("glet_models.csv")
    memory = Memory(
        int(0.9 * 11_000e6), int(1230e6), {row["model"]: int(float(row["mem_mb"]) * 1e6) for row in models}
    )
    image, large = _host_ms("3_224_224", 1.9), _host_ms("3_300_300", 2.5)
    host = {"googlenet": image, "resnet50": image, "vgg16": image, "ssd-mobilenetv1": large}
    felt = linear() if interference else NOT_FELT
    return Rules(latency_ratio=1.1, host_ms=host, interference=felt, memory=memory)


def linear() -> Linear:
    """The prototype's interference of the 2080 Ti."""
    constants = next(row for row in rows("glet_interference_constants.csv") if row["device"] == "2080ti")
    used: dict[str, list[Row]] = {}
    for row in rows("glet_utilisation.csv"):
        if row["device"] == "2080ti":
            used.setdefault(row["model"], []).append(row)
    return Linear(
        l2_own=float(constants["l2_self"]),
        l2_other=float(constants["l2_other"]),
        dram_own=float(constants["dram_self"]),
        dram_other=float(constants["dram_other"]),
        constant=float(constants["constant"]),
        uses={name: _use(of) for name, of in used.items()},
    )


def prototype_problem(
    bounds: Mapping[str, float], rates_rps: Mapping[str, float], interference: bool = False
) -> Problem:
    """Models at these rates by the prototype's rules, which raise them. Rates of 0 are left out."""
    workloads = tuple(
        Workload(model, model, raised(rate), bounds[model]) for model, rate in rates_rps.items() if rate
    )
    return Problem(workloads, rtx2080ti(), prototype_rules(interference))


def traffic_problem(rate_rps: int, interference: bool) -> Problem:
    """The paper's traffic application, so many requests/s to each of its models."""
    return prototype_problem(TRAFFIC, dict.fromkeys(TRAFFIC, rate_rps), interference)


def scen3_problem(rate_rps: int, interference: bool) -> Problem:
    """The paper's third scenario as the prototype was asked for it on an A100: rates as given, nothing known
    of memory, the 2080 Ti's coefficients with what the models use of an A100."""
    workloads = tuple(Workload(model, model, rate_rps, slo_ms) for model, slo_ms in SCEN3.items())
    felt = replace(linear(), uses=_uses_of_a100()) if interference else NOT_FELT
    return Problem(workloads, _a100_as_asked(), Rules(latency_ratio=1.1, interference=felt))


@cache
def _a100_as_asked() -> LatencyTable:
    names = {"mobilenet": "mobilenet_v2"}
    table = a100()
    return LatencyTable(
        Measured(names.get(model, model), size, batch, float(curve[batch]))
        for model in ("vgg16", "resnet50", "mobilenet")
        for size in table.sizes(model)
        for curve in [table.curve(model, size)]
        for batch in range(1, min(len(curve), 33))
    )


def _uses_of_a100() -> dict[str, Use]:
    found: dict[str, list[Row]] = {}
    for row in rows("a100_mps_utilisation.csv"):
        if row["percent"] == "100" and int(row["batch"]) <= 32:
            model = "mobilenet_v2" if row["model"] == "mobilenet" else row["model"]
            found.setdefault(model, []).append({**row, "mem_util_pct": row["dram_util_pct"]})
    return {model: _use(lines) for model, lines in found.items() if model in SCEN3}


def raised(rate_rps: float) -> float:
    """What the prototype plans for: the 99th percentile of arrivals in a second, or 1.1 times the rate."""
    return rate_rps * 1.1 if rate_rps > 550 else float(poisson.ppf(0.99, rate_rps)) + 1


def nexus_problem() -> Problem:
    """The worked example of squishy bin packing: two GPUs do."""
    found = rows("nexus_example.csv")
    table = LatencyTable(
        Measured(row["model"], 100, int(row["batch"]), float(row["latency_ms"])) for row in found
    )
    bounds = {row["model"]: float(row["slo_ms"]) for row in found}
    rates = {"A": 64.0, "B": 32.0, "C": 32.0}
    workloads = tuple(Workload(model, model, rate, bounds[model]) for model, rate in rates.items())
    return Problem(workloads, table, Rules(late_binding=True))


def parvagpu_problem(scenario: str) -> Problem:
    """One of ParvaGPU's scenarios S1 to S6. Like there, a bound holds twice a batch."""
    workloads = tuple(
        Workload(row["model"], row["model"], float(row["rate_rps"]), float(row["slo_ms"]))
        for row in rows("parvagpu_scenarios.csv")
        if row["scenario"] == scenario
    )
    return Problem(workloads, parvagpu(), Rules(card=Slices(), models_per_part=1))


def random_problem(random: Random) -> Problem:
    """2 to 10 models of one card, at 20 to 1000 requests/s, within 2.2 to 8 times a single request's time."""
    table = random.choice([rtx2080ti, v100, a100])()
    workloads = []
    for number in range(random.randint(2, 10)):
        model = random.choice(table.models())
        rate = 20 * 50 ** random.random()
        slo = random.uniform(2.2, 8) * float(table.curve(model, 100)[1])
        workloads.append(Workload(f"{model}-{number}", model, rate, slo))
    return Problem(tuple(workloads), table)


def schedule(case: str, scheduler: str, rate_rps: int) -> list[Row]:
    """A plan of the original, line by line; empty where there is none."""
    return [
        row
        for row in rows("prototype_schedules.csv")
        if (row["case"], row["scheduler"], row["rate"]) == (case, scheduler, str(rate_rps))
    ]


def published_plan(problem: Problem, lines: Sequence[Row]) -> Placement:
    """A plan of prototype_schedules.csv, on the shortest cycles that hold its batches: those of the file are
    rounded to ms."""
    places: dict[str, dict[tuple[str, str], list[Resident]]] = {}
    names = [workload.model for workload in problem.workloads]
    for line in lines:
        if line["model"] != "reserved":
            resident = Resident(names.index(line["model"]), int(line["batch"]))
            parts = places.setdefault(line["gpu"], {})
            parts.setdefault((line["percent"], line["dedup"]), []).append(resident)
    gpus = []
    for place in places.values():
        wanted = [Part(int(size), 0.0, tuple(residents)) for (size, _), residents in place.items()]
        gpus.append(
            tuple(
                Part(part.size, sum(latencies_ms(number, wanted, problem)), part.residents)
                for number, part in enumerate(wanted)
            )
        )
    return Placement(tuple(gpus))


def parvagpu_plan(problem: Problem, scenario: str) -> Placement:
    """ParvaGPU's own plan of a scenario."""
    names = [workload.model for workload in problem.workloads]
    gpus: dict[str, list[Part]] = {}
    for row in rows("parvagpu_deployments.csv"):
        if row["scenario"] == scenario:
            index, size, processes = names.index(row["model"]), int(row["mig_slices"]), int(row["processes"])
            taken_ms = float(problem.latency_ms(index, size, processes)[int(row["batch"])])
            part = Part(size, taken_ms, (Resident(index, int(row["batch"])),), processes)
            gpus.setdefault(row["gpu"], []).append(part)
    return Placement(tuple(tuple(parts) for parts in gpus.values()))


def broken(problem: Problem, lines: Sequence[Row]) -> list[str]:
    """What a published plan breaks of our rules."""
    return violations(published_plan(problem, lines), problem)


def _host_ms(shape: str, times: float) -> list[float]:
    found = [row for row in rows("glet_batch_overhead.csv") if row["shape"] == shape]
    return [0.0, *(times * float(row["ms"]) for row in sorted(found, key=lambda row: int(row["batch"])))]


def _use(lines: Sequence[Row]) -> Use:
    found = sorted(lines, key=lambda row: int(row["batch"]))
    return Use(
        tuple(int(row["batch"]) for row in found),
        tuple(float(row["l2_util_pct"]) / 100 for row in found),
        tuple(float(row["mem_util_pct"]) / 100 for row in found),
    )
