"""ModelList.txt: a plan as the prototype's servers take it, read to be checked, and written."""

from dataclasses import replace
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.checker import latencies_ms
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem
from experiments.placement.prototype.files import count, figure, rows

PLAN = "ModelList.txt"
EMPTY, RESERVED = "EMPTY", "reserved"
ROUNDED = 1e-4
"""Cycles are rounded in the file: one that is so little shorter than its batches is taken for as long."""


def read_plan(path: Path, problem: Problem) -> Placement:
    """The plan in a file, for the workloads of a problem. Lines: `gpu,percent,dedup,model,batch,duty_ms`.

    Raises UsageError where it can't be read or understood, or has a model that isn't asked for once.
    """
    gpus: dict[int, dict[tuple[int, int], list[tuple[Resident, float]]]] = {}
    for line, row in rows(path, 1):
        where = f"{path}, line {line}"
        if row[0] == EMPTY:
            raise UsageError(f"{where}: it says {EMPTY}: there is no plan to check")
        if len(row) < 6:
            raise UsageError(f"{where}: needs gpu,percent,dedup,model,batch,duty_ms, has {len(row)} values")
        gpu, size, half, batch = (count(row[place], where) for place in (0, 1, 2, 4))
        duty_ms = figure(row[5], where)
        on = gpus.setdefault(gpu, {})
        if row[3] != RESERVED:
            on.setdefault((size, half), []).append((Resident(_index(row[3], problem, where), batch), duty_ms))
    return Placement(tuple(_parts(of, problem) for of in gpus.values() if of))


def write_plan(path: Path, problem: Problem, placement: Placement) -> Path:
    """Writes a placement, what is left of each GPU as reserved. Raises ExperimentError where it can't be
    written, or a model is asked for twice: the file has no names but models'."""
    models = [workload.model for workload in problem.workloads]
    if len(set(models)) < len(models):
        raise ExperimentError(f"can't write {path}: its only names are models', and one is asked twice")
    lines = []
    for gpu, parts in enumerate(placement.gpus):
        seen: list[int] = []
        for part in parts:
            half = seen.count(part.size)
            seen.append(part.size)
            lines += [
                f"{gpu},{part.size},{half},{models[each.workload]},{each.batch},{part.duty_ms:.6f}"
                for each in part.residents
            ]
        if left := 100 - sum(seen):
            lines.append(f"{gpu},{left},{seen.count(left)},{RESERVED},32,0.000000")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    except OSError as error:
        raise ExperimentError(f"can't write {path}: {error.strerror}; make room") from error
    return path


def _index(model: str, problem: Problem, where: str) -> int:
    found = [number for number, workload in enumerate(problem.workloads) if workload.model == model]
    if len(found) != 1:
        times = "not asked for" if not found else "asked for twice, and the file has no names but models'"
        raise UsageError(f"{where}: {model} is {times}")
    return found[0]


def _parts(listed: dict[tuple[int, int], list[tuple[Resident, float]]], problem: Problem) -> tuple[Part, ...]:
    parts = [
        Part(size, max(duty for _, duty in lines), tuple(each for each, _ in lines))
        for (size, _), lines in listed.items()
    ]
    found = []
    for place, part in enumerate(parts):
        taken_ms = sum(latencies_ms(place, parts, problem))
        rounded = part.duty_ms < taken_ms <= part.duty_ms * (1 + ROUNDED)
        found.append(replace(part, duty_ms=taken_ms) if rounded else part)
    return tuple(found)
