"""Ways through a trace as tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from experiments.placement.periods.compared import Crossed
from experiments.placement.periods.trace import Period


def tables(periods: Sequence[Period], crossed: Sequence[Crossed]) -> tuple[Table, Table, Table]:
    """Period by period, workload by workload, and the whole."""
    return period_table(periods, crossed), workload_table(crossed), course_table(crossed)


def period_table(periods: Sequence[Period], crossed: Sequence[Crossed]) -> Table:
    """A line for each period: its start, and the GPUs and moves of each way."""
    table = Table(box=box.SIMPLE, title="GPUs (parts made at its start)")
    table.add_column("from", justify="right")
    for each in crossed:
        table.add_column(each.course.name, justify="right")
    for number, period in enumerate(periods):
        cells = []
        for each in crossed:
            moves = each.course.steps[number].moves
            cells.append(
                f"{each.course.gpus[number]} ({moves})" if moves else f"{each.course.gpus[number]}    "
            )
        table.add_row(f"{period.start_s:g} s", *cells)
    return table


def course_table(crossed: Sequence[Crossed]) -> Table:
    """A line for each way: what it costs, and what is kept."""
    table = Table(box=box.SIMPLE, title="the whole trace")
    table.add_column("placement")
    for heading in ("GPU-hours", "GPUs at most", "parts made", "changed", "within the bound"):
        table.add_column(heading, justify="right")
    for each in crossed:
        table.add_row(
            each.course.name,
            f"{each.gpu_s / 3600:.4g}",
            str(max(each.course.gpus)),
            str(each.moves),
            str(each.changed),
            f"{each.attainment:.2%}",
        )
    return table


def workload_table(crossed: Sequence[Crossed]) -> Table:
    """A line for each workload: p99, and what is within the bound, of each way."""
    table = Table(box=box.SIMPLE, title="simulated, Poisson arrivals: p99 (within the bound)")
    table.add_column("workload")
    for each in crossed:
        table.add_column(each.course.name, justify="right")
    for outcomes in zip(*(each.outcomes for each in crossed), strict=True):
        cells = [f"{outcome.p99_ms:.3g} ms ({outcome.attainment:.2%})" for outcome in outcomes]
        table.add_row(outcomes[0].workload, *cells)
    return table
