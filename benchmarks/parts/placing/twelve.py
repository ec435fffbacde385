"""iGniter's twelve workloads on V100s, placed by our search and checked by iGniter's own model."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from benchmarks.parts import sharing
from benchmarks.parts.placing.igniter import Igniter, Running
from experiments.placement.card import Shares
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem, Rules
from experiments.placement.strategies.search import Found, fewest

SHARES = Shares(tuple(range(10, 101, 5)), parts_per_gpu=3)
"""iGniter itself: any number of shares in steps of 2.5 %."""
ORIGINAL, GPULETS = 6, 8
"""GPUs of iGniter's own plan (one of them whole, for what its largest workload has too much), and of its
gpu-lets+."""
BATCHES = range(1, 33)
CLOCK_STEP = 0.01


@dataclass(frozen=True)
class Beside:
    """iGniter's model as the search needs it: the pressure is the L2 cache in use, in percent. There are as
    many processes as the card allows, and the clock is at `clock` of its highest, whoever is beside."""

    igniter: Igniter
    clock: float

    def felt(self, model: str, size: int, batch: int) -> tuple[float, float]:
        running = Running(model, size, batch)
        alone_ms, copied_ms = self.igniter.latencies_ms((running,))[0], self.igniter.copied_ms(running)
        least_ms, more_ms = (
            self.igniter.on_gpu_ms(running, SHARES.parts_per_gpu, pressure) / self.clock + copied_ms
            for pressure in (0.0, 1.0)
        )
        return least_ms / alone_ms, (more_ms - least_ms) / alone_ms

    def caused(self, model: str, size: int, batch: int) -> float:
        return self.igniter.l2_pct(Running(model, size, batch))


def problem_at(igniter: Igniter, clock: float) -> Problem:
    """The workloads, one model to a share."""
    table = LatencyTable(
        Measured(model, size, batch, igniter.latencies_ms((Running(model, size, batch),))[0])
        for model in igniter.models
        for size in SHARES.sizes
        for batch in BATCHES
    )
    workloads = tuple(
        Workload(
            f"{row['model']}-{row['workload']}", row["model"], float(row["rate_rps"]), float(row["slo_ms"])
        )
        for row in sharing.rows("igniter_12_workloads.csv")
    )
    rules = Rules(card=SHARES, models_per_part=1, interference=Beside(igniter, clock))
    return Problem(workloads, table, rules)


def placed(igniter: Igniter, clock: float = 1.0) -> tuple[Problem, Found]:
    """The placement of the search at the highest clock, `clock` or below, at which every GPU passes iGniter's
    own model."""
    while True:
        problem = problem_at(igniter, clock)
        found = fewest(problem, prove=False)
        if not broken(problem, igniter, found.placement):
            return problem, found
        clock -= CLOCK_STEP


def broken(problem: Problem, igniter: Igniter, placement: Placement) -> list[str]:
    """What a placement breaks by iGniter's own model: a bound holds two batches, batches serve the rate."""
    found = []
    served = [0.0] * len(problem.workloads)
    for gpu, parts in enumerate(placement.gpus):
        for part, taken_ms in zip(parts, latencies_ms(problem, igniter, parts), strict=True):
            index, batch = part.residents[0].workload, part.residents[0].batch
            workload = problem.workloads[index]
            served[index] += 1000 * batch / taken_ms
            if 2 * taken_ms > workload.slo_ms:
                found.append(f"GPU {gpu}: {workload.name} takes {taken_ms:.3g} ms of {workload.slo_ms / 2:g}")
    for workload, rate_rps in zip(problem.workloads, served, strict=True):
        if rate_rps < workload.rate_rps:
            found.append(f"{workload.name}: {rate_rps:.4g} of {workload.rate_rps:g} requests/s are served")
    return found


def table(problem: Problem, igniter: Igniter, found: Found) -> Table:
    """The placement, with what iGniter's own model says of it."""
    title = (
        f"iGniter's twelve workloads on V100s: {len(found.placement.gpus)} GPUs, iGniter {ORIGINAL}, its "
        f"gpu-lets+ {GPULETS}; as a fluid {found.at_least}"
    )
    shown = Table(box=box.SIMPLE, title=title)
    headings = (
        "workload",
        "GPU",
        "share %",
        "batch",
        "ms by its model",
        "half the bound",
        "requests/s",
        "asked",
    )
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left")
    lines = [
        (part.residents[0].workload, gpu, part, taken_ms)
        for gpu, parts in enumerate(found.placement.gpus)
        for part, taken_ms in zip(parts, latencies_ms(problem, igniter, parts), strict=True)
    ]
    for index, gpu, part, taken_ms in sorted(lines, key=lambda line: line[:2]):
        workload, batch = problem.workloads[index], part.residents[0].batch
        shown.add_row(
            workload.name,
            *(str(gpu), str(part.size), str(batch), f"{taken_ms:.2f}", f"{workload.slo_ms / 2:g}"),
            *(f"{1000 * batch / taken_ms:.0f}", f"{workload.rate_rps:g}"),
        )
    return shown


def latencies_ms(problem: Problem, igniter: Igniter, parts: Sequence[Part]) -> tuple[float, ...]:
    """What a batch on each part of a GPU takes by iGniter's own model."""
    return igniter.latencies_ms(
        tuple(
            Running(problem.workloads[part.residents[0].workload].model, part.size, part.residents[0].batch)
            for part in parts
        )
    )
