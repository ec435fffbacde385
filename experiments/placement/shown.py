"""A placement, its prediction and its proof as tables for the terminal."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from experiments.placement.deployment.live import Proven
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.reserve import Reserved
from experiments.placement.simulation import Outcome

NAMED = 4
"""So many workloads are told by name, more by their number."""


def placement_table(problem: Problem, placement: Placement) -> Table:
    """A line for each resident of each part of each GPU."""
    table = Table(box=box.SIMPLE)
    for heading in ("GPU", "share", "workload", "batch", "every", "up to"):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for gpu, part in placement.parts():
        for resident in part.residents:
            table.add_row(
                str(gpu),
                f"{part.size} %",
                problem.workloads[resident.workload].name,
                str(resident.batch),
                f"{part.duty_ms:.3g} ms",
                f"{part.capacity_rps(resident):.4g} requests/s",
            )
    return table


def reserve_told(problem: Problem, reserved: Reserved) -> Iterator[str]:
    """What was planned above the rates asked, and who falls short all the same."""
    kept = f"{100 * reserved.kept:g} %"
    if raised := reserved.raised(problem):
        most = max(raised.values())
        whose = ", ".join(raised) if len(raised) <= NAMED else f"{len(raised)} models"
        yield f"planned for up to {most:.3g} times the rates of {whose}: bursts need the room"
    if short := reserved.short:
        whose = ", ".join(each.workload for each in short[:NAMED])
        more = f" and {len(short) - NAMED} more" if len(short) > NAMED else ""
        yield f"warning: fewer than {kept} of the requests to {whose}{more} keep the bound: add GPUs"


def outcome_table(problem: Problem, outcomes: Sequence[Outcome]) -> Table:
    """A line for each workload: what is asked, and what is to be expected."""
    table = Table(box=box.SIMPLE, title="simulated, Poisson arrivals")
    for heading in ("workload", "asked", "bound", "p50", "p95", "p99", "within the bound"):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for workload, outcome in zip(problem.workloads, outcomes, strict=True):
        table.add_row(
            workload.name,
            f"{workload.rate_rps:g} requests/s",
            f"{workload.slo_ms:g} ms",
            *(f"{value:.3g} ms" for value in (outcome.p50_ms, outcome.p95_ms, outcome.p99_ms)),
            f"{outcome.attainment:.2%}",
        )
    return table


def proven_table(proven: Proven) -> Table:
    """Measured beside predicted, a line for each workload."""
    table = Table(box=box.SIMPLE, title="measured (predicted)")
    for heading in ("workload", "requests/s", "p50 ms", "p95 ms", "p99 ms", "within the bound"):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for was, expected in zip(proven.measured, proven.predicted, strict=True):
        table.add_row(
            was.workload,
            f"{was.throughput_rps:.4g} ({expected.throughput_rps:.4g})",
            f"{was.p50_ms:.3g} ({expected.p50_ms:.3g})",
            f"{was.p95_ms:.3g} ({expected.p95_ms:.3g})",
            f"{was.p99_ms:.3g} ({expected.p99_ms:.3g})",
            f"{was.attainment:.2%} ({expected.attainment:.2%})",
        )
    return table
