"""Checks a placement from scratch: nothing of how it was found is used, only the profile and the rules."""

from collections.abc import Sequence

from experiments.placement.interference import factor
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem

SLACK = 1e-9
"""Relative error that sums of floating-point numbers may have."""


def violations(placement: Placement, problem: Problem, gpus: int | None = None) -> list[str]:
    """What a placement breaks, a line each; empty where it keeps every rule.

    Checked: the number of GPUs, that parts fit on theirs, who shares a part, that a cycle holds all its
    batches, each bound, each rate, and memory; with the interference of all neighbours working at once.
    """
    found = []
    if gpus is not None and len(placement.gpus) > gpus:
        found.append(f"{len(placement.gpus)} GPUs are in use, {gpus} are there")
    for number, parts in enumerate(placement.gpus):
        if not problem.rules.card.holds([part.size for part in parts]):
            found.append(
                f"GPU {number}: parts of {', '.join(str(part.size) for part in parts)} don't fit on it"
            )
        for place, part in enumerate(parts):
            where = f"GPU {number}, part {place} of {part.size}"
            found += [f"{where}: {wrong}" for wrong in _part(part, place, parts, problem)]
        found += [f"GPU {number}: {wrong}" for wrong in _memory(parts, problem)]
    for index, workload in enumerate(problem.workloads):
        served = placement.capacity_rps(index)
        if served < workload.rate_rps * (1 - SLACK):
            found.append(f"{workload.name}: {served:.6g} of {workload.rate_rps:.6g} requests/s are served")
    return found


def latencies_ms(place: int, parts: Sequence[Part], problem: Problem) -> list[float]:
    """What a batch of each resident of `parts[place]` takes, all neighbours at work; infinite if unknown."""
    part = parts[place]
    rules = problem.rules
    pressure = sum(
        max(
            rules.interference.caused(problem.workloads[other.workload].model, neighbour.size, other.batch)
            for other in neighbour.residents
        )
        for position, neighbour in enumerate(parts)
        if position != place and neighbour.residents
    )
    beside = len(parts) > 1
    taken = []
    for resident in part.residents:
        model = problem.workloads[resident.workload].model
        felt = rules.interference.felt(model, part.size, resident.batch)
        times = factor(felt, pressure) if beside else 1.0
        curve = problem.latency_ms(resident.workload, part.size, part.processes, times)
        taken.append(float(curve[resident.batch]) if 0 < resident.batch < len(curve) else float("inf"))
    return taken


def _part(part: Part, place: int, parts: Sequence[Part], problem: Problem) -> list[str]:
    found = []
    residents = part.residents
    if not residents:
        return ["nobody is on it"]
    if len({resident.workload for resident in residents}) < len(residents):
        found.append("one workload is on it twice")
    if len(residents) > problem.rules.models_per_part:
        found.append(f"{len(residents)} models share it, {problem.rules.models_per_part} may")
    if part.processes not in problem.rules.card.processes or (part.processes > 1 and len(residents) > 1):
        found.append(f"{part.processes} processes of {len(residents)} models can't share it")
    latency_ms = latencies_ms(place, parts, problem)
    cycle_ms = sum(latency_ms)
    if not cycle_ms <= part.duty_ms * (1 + SLACK):
        found.append(f"its batches take {cycle_ms:.6g} ms, its cycle {part.duty_ms:.6g} ms")
    for resident, own_ms in zip(residents, latency_ms, strict=True):
        workload = problem.workloads[resident.workload]
        worst_ms = part.duty_ms + (own_ms if problem.rules.late_binding else cycle_ms)
        if not worst_ms <= workload.slo_ms * (1 + SLACK):
            found.append(f"{workload.name} may wait {worst_ms:.6g} ms, its bound is {workload.slo_ms:g} ms")
    return found


def _memory(parts: Sequence[Part], problem: Problem) -> list[str]:
    memory = problem.rules.memory
    if memory is None:
        return []
    needed = sum(
        part.processes
        * (
            memory.process_bytes
            + sum(
                memory.model_bytes.get(problem.workloads[resident.workload].model, 0)
                for resident in part.residents
            )
        )
        for part in parts
    )
    if needed > memory.gpu_bytes:
        return [f"its models take {needed / 1e9:.3g} GB of memory, it has {memory.gpu_bytes / 1e9:.3g}"]
    return []
