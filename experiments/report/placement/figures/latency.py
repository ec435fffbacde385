"""The figure of latency by batch size, a panel for each workload and a line for each share."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from experiments.base.numbers import plain
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    Series,
    counts_on_x,
    dots,
    from_zero,
    line,
    logarithmic,
    place,
    plain_axes,
)
from experiments.report.drawing.palette import LIGHT, MARKERS, SERIES
from experiments.report.placement.parts import Alike, Chosen, chosen
from experiments.report.placement.placing import Placing, clipped
from experiments.verdict.words import told

TITLE_LETTERS = 44
LOGARITHMIC_FROM = 8.0
"""How many times the least the most must be."""
RING = Series("chosen", "ink", "o", line=False, filled=False)
HALF = Series("half of the bound", "muted", "", "--")


def figure(placing: Placing, gpus: Sequence[Alike]) -> Figure:
    """Of the workloads that there is room for."""
    lines = series(placing, gpus)
    panels = [_panel(placing, index, lines, chosen(gpus, index)) for index in placing.drawn()]
    return Figure("latency", "Latency by batch size", panels, [*lines.values(), RING, HALF])


def series(placing: Placing, gpus: Sequence[Alike]) -> dict[int, Series]:
    """The sizes of parts that are drawn, as many as there are colours: those in use, then evenly spread."""
    sizes = placing.problem.rules.card.sizes
    in_use = sorted({used.part.size for alike in gpus for used in alike.parts})[: len(SERIES)]
    spread = np.linspace(0, len(sizes) - 1, len(SERIES)).round().astype(int)
    wanted = [*in_use, sizes[-1], *(sizes[position] for position in spread)]
    shown = sorted(list(dict.fromkeys(wanted))[: len(SERIES)])
    looks = zip(shown, SERIES, MARKERS, strict=False)
    return {size: Series(placing.unit(size), colour, marker) for size, colour, marker in looks}


def _panel(placing: Placing, index: int, lines: dict[int, Series], marks: Sequence[Chosen]) -> Panel:
    workload = placing.problem.workloads[index]
    half_ms = workload.slo_ms / 2
    by_size = {size: (own, _points(placing, index, size)) for size, own in lines.items()}
    by_size = {size: (own, points) for size, (own, points) in by_size.items() if points}
    parts = [
        f"{own.label}: {', '.join(f'{batch}: {told(ms)}' for batch, ms, measured in points if measured)}"
        for own, points in by_size.values()
    ]
    picked = "; ".join(
        f"{each.batch} on {placing.unit(each.size)}, {told(each.latency_ms)} ms" for each in marks
    )
    return Panel(
        clipped(workload.name, TITLE_LETTERS),
        f"Milliseconds by batch size. {'. '.join(parts)}. Half of the bound: {plain(half_ms, 4)} ms. "
        f"Chosen: {picked}.",
        partial(_draw, list(by_size.values()), marks, half_ms),
    )


Points = list[tuple[int, float, bool]]
"""Batch size, latency in ms, and whether it was measured, not taken from the line between two that were."""


def _points(placing: Placing, index: int, size: int) -> Points:
    """Of one process, by the rules, without neighbours."""
    table, model = placing.problem.table, placing.problem.workloads[index].model
    curve = placing.problem.latency_ms(index, size)
    return [
        (int(batch), float(curve[batch]), not table.interpolated(model, size, int(batch)))
        for batch in np.flatnonzero(np.isfinite(curve))
    ]


def _draw(
    by_size: Sequence[tuple[Series, Points]], marks: Sequence[Chosen], half_ms: float, axes: Axes
) -> None:
    axes.axhline(half_ms, color=HALF.hex, linestyle=HALF.dash, linewidth=1.2, zorder=1)
    for own, points in by_size:
        measured = [(place(batch), ms) for batch, ms, was in points if was]
        line(axes, own, [place(batch) for batch, _, _ in points], [ms for _, ms, _ in points])
        dots(axes, own, [x for x, _ in measured], [ms for _, ms in measured], size=18)
    for mark in marks:
        at = place(mark.batch), mark.latency_ms
        axes.plot(
            *at, "o", markersize=10, fillstyle="none", color=LIGHT["ink"], markeredgewidth=1.6, zorder=4
        )
        if mark.processes > 1:
            axes.annotate(f"{mark.processes} copies", at, (8, -3), textcoords="offset points", fontsize=9.5)
    known = [ms for _, points in by_size for _, ms, _ in points] + [half_ms, *(m.latency_ms for m in marks)]
    if max(known) > LOGARITHMIC_FROM * min(known):
        logarithmic(axes, "y", min(known), max(known))
    else:
        from_zero(axes, "y", max(known) * 1.08)
    plain_axes(axes, "batch size", "ms")
    measured_at = [batch for _, points in by_size for batch, _, was in points if was]
    counts_on_x(axes, measured_at or [mark.batch for mark in marks])
