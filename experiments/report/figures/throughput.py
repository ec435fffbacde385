"""The figure of throughput by batch size and workers: each run a dot, the range a bar, the medians a line."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from experiments.base.numbers import plain
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    counts_on_x,
    dodge,
    dots,
    from_zero,
    line,
    place,
    plain_axes,
)
from experiments.report.figures.layout import Layout, layout_of
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import told

ROOM = 1.06  # above the highest dot


def figure(verdict: Verdict) -> Figure | None:
    """None where no run is valid."""
    if not verdict.grid:
        return None
    layout = layout_of(verdict)
    most = max(max(measured.rps) for measured in verdict.grid)
    counts = [layout.x_of(measured.cell) for measured in verdict.grid]
    panels = [
        Panel(title, described(cells, layout), partial(draw, cells, layout, counts, most))
        for title, cells in layout.panels(verdict.grid).items()
    ]
    return Figure("throughput", f"Throughput by {layout.x}", panels, layout.legend(verdict.grid))


def draw(cells: Sequence[Measured], layout: Layout, counts: Sequence[float], most: float, axes: Axes) -> None:
    """The cells of one panel; `most` requests/s and all `counts` fit on its axes."""
    shown = layout.shown(cells)
    for index, (series, own) in enumerate(shown):
        at = [place(layout.x_of(measured.cell)) + dodge(index, len(shown)) for measured in own]
        low, high = ([end(measured.rps) for measured in own] for end in (min, max))
        axes.vlines(at, low, high, color=series.hex, alpha=0.28, linewidth=5)
        line(axes, series, at, [measured.median_rps for measured in own])
        runs = [(x, rps) for x, measured in zip(at, own, strict=True) for rps in measured.rps]
        dots(axes, series, [x for x, _ in runs], [rps for _, rps in runs])
    plain_axes(axes, layout.x, "requests/s")
    counts_on_x(axes, counts)
    from_zero(axes, "y", most * ROOM)


def described(cells: Sequence[Measured], layout: Layout) -> str:
    """The text alternative of one panel."""
    parts = []
    for series, own in layout.shown(cells):
        figures = [
            f"{plain(layout.x_of(each.cell), 6)}: {told(each.median_rps, min(each.rps), max(each.rps))}"
            for each in own
        ]
        parts.append((f"{series.label}, " if series.label else "") + f"by {layout.x}, {'; '.join(figures)}")
    return "Median requests/s with the range of the runs. " + ". ".join(parts) + "."
