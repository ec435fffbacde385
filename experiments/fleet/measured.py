"""Results folders -> what an instance of a demand's model was measured to do within the demand's bound."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import median

from experiments.base.errors import UsageError
from experiments.base.numbers import plain
from experiments.fleet.demand import Demand
from experiments.fleet.offers import Offer, Refusal, Spread, Way
from experiments.plan import Cell
from experiments.plan.slo import Slo, parse_slo
from experiments.results import PERCENTILES, TrialResult, by_cell, counting, read
from experiments.results.telemetry import FRONTEND, WORKERS
from experiments.verdict.verdict import Verdict, judge


def read_verdicts(folders: Sequence[Path], demands: Sequence[Demand]) -> list[Verdict]:
    """The verdicts of the folders. Raises UsageError for what is no results folder or of a model that nobody
    asks for, ExperimentError where it is damaged."""
    found = []
    for folder in folders:
        verdict = judge(read(folder))
        if verdict.model not in {demand.model for demand in demands}:
            asked = ", ".join(sorted({demand.model for demand in demands}))
            raise UsageError(f"{folder} is of another model, {verdict.model}, none of {asked}: leave it out")
        found.append(verdict)
    return found


def offers_in(verdict: Verdict, demand: Demand) -> tuple[list[Offer], list[Refusal]]:
    """The best cell of each way in which a folder shares its card, for one demand; or why a way has none.

    A cell keeps the bound where all its runs that count do. Of those the one with the highest median is
    taken; of those in an open loop where there are any, as nobody who asks a fleet waits for its answers. Its
    range is that of the runs (verdict/stats.py: it holds the true median with 1 - 2^(1-n)). Requests of
    several inputs are left out. Raises UsageError for a percentile that wasn't measured.
    """
    if demand.slo.percentile not in PERCENTILES:
        known = ", ".join(f"p{each}" for each in PERCENTILES)
        raise UsageError(
            f"{demand.name}: results tell {known} of the latencies, not p{demand.slo.percentile:g}: use one"
        )
    ways: dict[Way, list[tuple[Cell, list[TrialResult]]]] = {}
    for cell, of_cell in by_cell(verdict.trials).items():
        runs = counting(of_cell)
        if runs and not cell.twin and cell.client_batch == 1:
            ways.setdefault(way_of(cell, verdict), []).append((cell, list(runs)))
    offers, refusals = [], []
    for way, cells in ways.items():
        kept = [each for each in cells if all(_keeps(run, demand.slo) for run in each[1])]
        if not kept:
            refusals.append(Refusal(way, card_of(verdict), _too_slow(cells, demand.slo)))
            continue
        arriving = [each for each in kept if each[0].rate_rps is not None or each[1][0].goodput]
        cell, best = max(arriving or kept, key=lambda each: median(run.throughput_rps for run in each[1]))
        offers.append(_offer(verdict, demand, way, cell, best))
    return offers, refusals


def card_of(verdict: Verdict) -> str | None:
    """The name of the card that was measured; None on a CPU."""
    return str(verdict.card.get("name") or "GPU") if verdict.card else None


def way_of(cell: Cell, verdict: Verdict) -> Way:
    """How a cell's workers share what they were measured on."""
    if verdict.card is None:
        return "CPU"
    if verdict.card.get("mig"):
        return "MIG"
    if cell.mps:
        return "shares" if cell.limits else "MPS"
    return "time-slicing" if cell.workers > 1 else "whole"


def _offer(verdict: Verdict, demand: Demand, way: Way, cell: Cell, runs: Sequence[TrialResult]) -> Offer:
    rates_rps = [run.throughput_rps for run in runs]
    stand_in = ", a GPU that was stood in for" if verdict.stood_in_for else ""
    latency_ms = _of_percentile(runs, demand.slo)
    return Offer(
        model=verdict.model,
        way=way,
        card=card_of(verdict),
        rps=Spread(min(rates_rps), median(rates_rps), max(rates_rps)),
        vcpus=demand.vcpus or _vcpus(verdict, demand, runs),
        memory_bytes=demand.memory_bytes or _memory_bytes(verdict, demand, runs),
        source=f"{verdict.folder}, {len(runs)} runs{stand_in}",
        workers=cell.workers,
        batch_size=cell.batch_size,
        batch_delay_ms=cell.batch_delay_ms,
        latency_ms=latency_ms,
        gpu_memory_bytes=_gpu_memory_bytes(runs) if verdict.card else None,
        share_percent=cell.thread_percentage,
        special=(*cell.special(), *(["one MIG instance to a card"] if way == "MIG" else [])),
    )


def _keeps(run: TrialResult, slo: Slo) -> bool:
    """A searched goodput keeps the bound it was searched for, and no tighter one."""
    if run.goodput:
        searched = parse_slo(str(run.goodput["slo"]))
        return searched.percentile >= slo.percentile and searched.bound_ms <= slo.bound_ms
    return run.latency_ms.get(f"p{slo.percentile:g}", float("inf")) <= slo.bound_ms


def _of_percentile(runs: Sequence[TrialResult], slo: Slo) -> float | None:
    known = [run.latency_ms[key] for run in runs if (key := f"p{slo.percentile:g}") in run.latency_ms]
    return median(known) if known else None


def _too_slow(cells: Sequence[tuple[Cell, list[TrialResult]]], slo: Slo) -> str:
    latencies_ms = [each for _, runs in cells if (each := _of_percentile(runs, slo)) is not None]
    if not latencies_ms:
        return "bound not kept: no latency is known"
    return f"bound not kept: p{slo.percentile:g} is {plain(min(latencies_ms), 3)} ms at best"


def _vcpus(verdict: Verdict, demand: Demand, runs: Sequence[TrialResult]) -> float:
    """On a CPU all cores that it was measured with; beside a card what server and workers were busy with."""
    if verdict.card is None:
        cpu = verdict.environment.get("cpu")
        if isinstance(cpu, dict) and cpu.get("cores"):
            return float(cpu["cores"])
    else:
        used = [
            (each.cpu_cores_used.get(FRONTEND) or 0.0) + (each.cpu_cores_used[WORKERS] or 0.0)
            for run in runs
            if (each := run.telemetry) and each.cpu_cores_used.get(WORKERS) is not None
        ]
        if used:
            return float(max(1, ceil(median(used))))
    raise UsageError(
        f"{demand.name}: {verdict.folder} doesn't tell the vCPUs of an instance: give `vcpus` in the demand"
    )


def _memory_bytes(verdict: Verdict, demand: Demand, runs: Sequence[TrialResult]) -> int:
    """What server and workers had resident; pages that they share are counted for each."""
    used = [
        (each.rss_bytes.get(FRONTEND) or 0) + (each.rss_bytes[WORKERS] or 0)
        for run in runs
        if (each := run.telemetry) and each.rss_bytes.get(WORKERS)
    ]
    if used:
        return max(used)
    raise UsageError(
        f"{demand.name}: {verdict.folder} doesn't tell the memory of an instance: "
        "give `memory_gib` in the demand"
    )


def _gpu_memory_bytes(runs: Sequence[TrialResult]) -> int | None:
    """All that was in use on the card less what was before the server started."""
    used = [
        each.gpu_memory_bytes_total - (run.gpu_memory_before_bytes or 0)
        for run in runs
        if (each := run.telemetry) and each.gpu_memory_bytes_total is not None
    ]
    return max(used) if used else None
