"""The figure of latency against throughput: a point for each cell, and the frontier of those worth having."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import seaborn as sns
from matplotlib.axes import Axes

from experiments.plan import Cell
from experiments.report.drawing.canvas import Figure, Panel, Series, from_zero, logarithmic, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.report.figures.layout import arms
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import arm, crossed, told

PERCENTILES = (50, 99)
FRONTIER = Series("the frontier: nothing is both faster and quicker", "muted", "", ":")
APART = 46.0, 14.0  # points between two labels, across and down
LOGARITHMIC_FROM = 8.0  # how many times the least the most must be


def figure(verdict: Verdict) -> Figure | None:
    """None where no cell has a valid run with answers."""
    cells = with_latency(verdict)
    if not cells:
        return None
    series = arms([measured.cell for measured in cells])
    panels = [_panel(cells, series, percentile) for percentile in PERCENTILES]
    marks = [Series(each.label, each.colour, each.marker, line=False) for each in series]
    return Figure(
        "latency", "Latency against throughput", panels, [*(marks if len(marks) > 1 else ()), FRONTIER]
    )


def with_latency(verdict: Verdict) -> list[Measured]:
    """The cells whose latency is known."""
    return [measured for measured in verdict.grid if measured.known("latency_ms_p99") is not None]


def latency_ms(measured: Measured, percentile: int) -> float:
    """Of one of `with_latency`."""
    return float(measured.row[f"latency_ms_p{percentile}"])


def frontier(cells: Sequence[Measured], percentile: int) -> list[Measured]:
    """The cells than which no other has both more throughput and less latency, the slowest first."""
    best: list[Measured] = []
    for measured in sorted(cells, key=lambda each: (-each.median_rps, latency_ms(each, percentile))):
        if not best or latency_ms(measured, percentile) < latency_ms(best[-1], percentile):
            best.append(measured)
    return best[::-1]


def _panel(cells: Sequence[Measured], series: Sequence[Series], percentile: int) -> Panel:
    best = frontier(cells, percentile)
    points = "; ".join(
        f"{crossed(each.cell)}{', ' + arm(each.cell) if len(series) > 1 else ''}: "
        f"{told(each.median_rps)} requests/s at {told(latency_ms(each, percentile))} ms"
        for each in best
    )
    return Panel(
        f"p{percentile}",
        f"{len(cells)} cells. On the frontier, workers by batch size: {points}.",
        partial(_draw, cells, best, series, percentile),
    )


def _draw(
    cells: Sequence[Measured],
    best: Sequence[Measured],
    series: Sequence[Series],
    percentile: int,
    axes: Axes,
) -> None:
    axes.plot(
        [each.median_rps for each in best],
        [latency_ms(each, percentile) for each in best],
        color=LIGHT["muted"],
        linestyle=":",
        linewidth=1.3,
    )
    for own in series:
        _draw_arm(axes, own, [each for each in cells if arm(each.cell) == own.label], percentile)
    latencies = [latency_ms(each, percentile) for each in cells]
    if max(latencies) > LOGARITHMIC_FROM * min(latencies):
        logarithmic(axes, "y", min(latencies), max(latencies))
    else:
        from_zero(axes, "y", max(latencies) * 1.06)
    from_zero(axes, "x", max(max(each.rps) for each in cells) * 1.16)
    axes.grid(visible=True, axis="both")
    plain_axes(axes, "requests/s", "ms")
    _label_points(axes, best, percentile)


def _draw_arm(axes: Axes, series: Series, cells: Sequence[Measured], percentile: int) -> None:
    latencies = [latency_ms(each, percentile) for each in cells]
    low, high = ([end(each.rps) for each in cells] for end in (min, max))
    axes.hlines(latencies, low, high, color=series.hex, alpha=0.3, linewidth=3)
    for rates in _by_configuration(cells):
        points = [(each.median_rps, latency_ms(each, percentile)) for each in rates]
        axes.plot(*zip(*points, strict=True), color=series.hex, alpha=0.5, linewidth=1)
    sns.scatterplot(
        x=[each.median_rps for each in cells],
        y=latencies,
        color=series.hex,
        marker=series.marker,
        s=28,
        edgecolor=LIGHT["paper"],
        linewidth=0.6,
        legend=False,
        ax=axes,
    )


def _by_configuration(cells: Sequence[Measured]) -> list[list[Measured]]:
    """The cells of an open loop that differ in their rate alone, the lowest first."""
    groups: dict[Cell, list[Measured]] = {}
    for each in sorted(cells, key=lambda each: each.cell.rate_rps or 0.0):
        if each.cell.rate_rps is not None:
            groups.setdefault(replace(each.cell, rate_rps=None), []).append(each)
    return list(groups.values())


def _label_points(axes: Axes, best: Sequence[Measured], percentile: int) -> None:
    """Names the frontier's cells from both ends inwards, as far as there is room for them: below and to the
    right, where by the frontier's meaning no cell is."""
    taken: list[tuple[float, float]] = []
    scale = axes.figure.dpi / 72
    for each in sorted(best, key=lambda each: min(best.index(each), len(best) - 1 - best.index(each))):
        point = each.median_rps, latency_ms(each, percentile)
        x, y = axes.transData.transform(point) / scale
        if any(abs(x - other_x) < APART[0] and abs(y - other_y) < APART[1] for other_x, other_y in taken):
            continue
        taken.append((x, y))
        axes.annotate(crossed(each.cell), point, (5, -3), textcoords="offset points", va="top", fontsize=9.5)
