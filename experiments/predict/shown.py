"""A prediction on a terminal: a line for each cell, then the best, then what all of it is from."""

from collections.abc import Iterator, Mapping

from rich import box
from rich.table import Table

from experiments.base.numbers import plain
from experiments.plan import Cell, Plan, limits_told
from experiments.predict.best import Best, interval
from experiments.predict.predicted import Predicted

# Shown where the plan varies them: heading, and the name that plan and cell have for it.
IF_VARIED = (
    ("server", "server"),
    ("engine", "engine"),
    ("precision", "precision"),
    ("delay ms", "batch_delay_ms"),
    ("inputs", "client_batch"),
    ("sent/s", "rate_rps"),
    ("in flight", "concurrency"),
)
FIGURES = ("requests/s", "90 % within", "p50", "p95", "p99 ms", "filled")
NAMED = 3


def grid_table(plan: Plan, grid: Mapping[Cell, Predicted]) -> Table:
    """A line for each cell but the twin."""
    table = Table(title="predicted, not measured", title_justify="left", box=box.SIMPLE, pad_edge=False)
    varied = [(heading, name) for heading, name in IF_VARIED if len(getattr(plan, name)) > 1]
    mps = ["MPS"] if plan.with_mps else []
    for heading in ["workers", *mps, "batch", *(heading for heading, _ in varied), *FIGURES]:
        table.add_column(heading, justify="right", no_wrap=True)
    for cell, found in grid.items():
        if not cell.twin:
            settings = [_told(getattr(cell, name)) for _, name in varied]
            table.add_row(
                f"{cell.workers}", *_arm(plan, cell), f"{cell.batch_size}", *settings, *_figures(found)
            )
    return table


def best_told(found: Best, goal: str) -> Iterator[str]:
    """The best cell by prediction, and how many others may be as good."""
    figures, (low_rps, high_rps) = found.predicted, interval(found.predicted)
    yield (
        f"Predicted best for '{goal}': {found.cell}: {plain(figures.throughput_rps, 3)} requests/s "
        f"({plain(low_rps, 3)} to {plain(high_rps, 3)}), p99 {plain(figures.p99_ms, 3)} ms."
    )
    if found.rivals:
        named = "; ".join(map(str, found.rivals[:NAMED]))
        more = f" and {len(found.rivals) - NAMED} more" if len(found.rivals) > NAMED else ""
        yield f"The prediction can't tell it from {len(found.rivals)} of the others: {named}{more}."


def _figures(found: Predicted) -> list[str]:
    low_rps, high_rps = interval(found)
    return [
        plain(found.throughput_rps, 3),
        f"{plain(low_rps, 3)} - {plain(high_rps, 3)}",
        *(plain(value, 3) for value in (found.p50_ms, found.p95_ms, found.p99_ms, found.filled_batch)),
    ]


def _arm(plan: Plan, cell: Cell) -> list[str]:
    if not plan.with_mps:
        return []
    limits = limits_told(cell.thread_percentage, cell.sm_chunks, cell.memory_limit_mib)
    return [" ".join(["on" if cell.mps else "off", *limits])]


def _told(value: object) -> str:
    if value is None:
        return "-"
    return plain(value, 6) if isinstance(value, float) else f"{value}"
