"""The figure of the ceilings: what was served, what the bare model, the device and an empty handler reach."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from experiments.plan.servers import TORCHSERVE
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    Series,
    counts_on_x,
    dots,
    line,
    logarithmic,
    place,
    plain_axes,
)
from experiments.report.figures.layout import best_by_size
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import arm, counted, told

MOST_PANELS = 12
SERVED = "throughput_rps_median"
CEILINGS = {
    SERVED: Series("served", "off", "o"),
    "bare_rps": Series("bare model", "on", "D", "--"),
    "empty_rps": Series("empty handler", "third", "s", "-."),
    "roofline_rps": Series("roofline, measured peaks", "muted", "", ":"),
    "datasheet_rps": Series("roofline, datasheet", "theirs", "", ":"),
}


def figure(verdict: Verdict) -> Figure | None:
    """None where no ceiling was measured."""
    known = {
        column: [value for measured in verdict.grid if (value := measured.known(column))]
        for column in CEILINGS
    }
    columns = [column for column, values in known.items() if values]
    if not set(columns) - {SERVED}:
        return None
    values = [value for of_column in known.values() for value in of_column]
    panels = [
        Panel(title, _described(cells, columns), partial(_draw, cells, columns, (min(values), max(values))))
        for title, cells in _panels(verdict).items()
    ]
    return Figure(
        "ceilings", "Served throughput and its ceilings", panels, [CEILINGS[each] for each in columns]
    )


def only_arm(verdict: Verdict) -> str:
    """The arm of the fastest cell, where all of them would be too many panels; empty where they are not."""
    panels = {(each.cell.workers, arm(each.cell)) for each in verdict.grid}
    fastest = max(verdict.grid, key=lambda measured: measured.median_rps)
    return arm(fastest.cell) if len(panels) > MOST_PANELS else ""


def _panels(verdict: Verdict) -> dict[str, list[Measured]]:
    """The cells of each number of workers and arm, by batch size; TorchServe's, where it was measured."""
    panels: dict[str, list[Measured]] = {}
    only = only_arm(verdict)
    ours = [measured for measured in verdict.grid if measured.cell.server == TORCHSERVE]
    for measured in best_by_size(ours or verdict.grid):
        cell = measured.cell
        if only and arm(cell) != only:
            continue
        title = counted(cell.workers, "worker") + (f", {arm(cell)}" if verdict.plan.with_mps else "")
        panels.setdefault(title, []).append(measured)
    return {title: panels[title] for title in sorted(panels, key=lambda title: panels[title][0].cell.workers)}


def _draw(cells: Sequence[Measured], columns: Sequence[str], ends: tuple[float, float], axes: Axes) -> None:
    for column in columns:
        known = _known(cells, column)
        series = CEILINGS[column]
        at = [place(size) for size in known]
        line(axes, series, at, list(known.values()))
        if series.marker:
            dots(axes, series, at, list(known.values()), size=20)
    plain_axes(axes, "batch size", "requests/s, log scale")
    counts_on_x(axes, [measured.cell.batch_size for measured in cells])
    logarithmic(axes, "y", *ends)


def _known(cells: Sequence[Measured], column: str) -> dict[int, float]:
    """The figures of a column by batch size."""
    return {each.cell.batch_size: value for each in cells if (value := each.known(column))}


def _described(cells: Sequence[Measured], columns: Sequence[str]) -> str:
    parts = []
    for column in columns:
        if known := _known(cells, column):
            figures = "; ".join(f"{size}: {told(value)}" for size, value in known.items())
            parts.append(f"{CEILINGS[column].label}, by batch size, {figures}")
    return "Requests/s. " + ". ".join(parts) + "."
