"""The figure of what was measured against what was predicted: panels by percentile, a row a workload."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from experiments.base.numbers import plain
from experiments.placement.simulation import Outcome
from experiments.report.drawing.canvas import Figure, Margins, Panel, Series, from_zero, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.report.placement.placing import Placing, clipped
from experiments.verdict.words import told

ROW = 26.0
NAME_LETTERS = 18
MEASURED = Series("measured", "off", "o", line=False)
PREDICTED = Series("predicted", "on", "D", line=False, filled=False)
BOUND = Series("bound", "muted", "", ":")

Rows = Sequence[tuple[Outcome, Outcome, float]]
"""Of each workload what was measured, what was predicted, and the bound in ms."""


def figure(placing: Placing) -> Figure | None:
    """None where nothing was measured."""
    if placing.proven is None:
        return None
    bounds = [workload.slo_ms for workload in placing.problem.workloads]
    rows = list(zip(placing.proven.measured, placing.proven.predicted, bounds, strict=True))
    panels = [_panel(rows, percentile) for percentile in ("p50", "p95", "p99")]
    return Figure("measured", "Latency, measured against predicted", panels, [MEASURED, PREDICTED, BOUND])


def _panel(rows: Rows, percentile: str) -> Panel:
    letters = max(len(clipped(was.workload, NAME_LETTERS)) for was, _, _ in rows)
    margins = Margins(left=16 + 6.2 * letters, right=14.0)
    parts = [
        f"{was.workload} {told(_ms(was, percentile))} ms, predicted {told(_ms(expected, percentile))} ms, "
        f"bound {plain(bound_ms, 4)} ms"
        for was, expected, bound_ms in rows
    ]
    return Panel(
        percentile,
        f"Measured latency, {percentile}: {'; '.join(parts)}.",
        partial(_draw, rows, percentile),
        height=margins.top + margins.bottom + ROW * len(rows),
        margins=margins,
    )


def _ms(outcome: Outcome, percentile: str) -> float:
    return float(getattr(outcome, f"{percentile}_ms"))


def _draw(rows: Rows, percentile: str, axes: Axes) -> None:
    for row, (was, expected, bound_ms) in enumerate(rows):
        ends = _ms(expected, percentile), _ms(was, percentile)
        axes.hlines(row, *ends, color=LIGHT["theirs"], linewidth=2, zorder=1)
        axes.vlines(bound_ms, row - 0.4, row + 0.4, color=BOUND.hex, linestyle=BOUND.dash, linewidth=1.8)
        for ms, own in zip(ends, (PREDICTED, MEASURED), strict=True):
            axes.plot(
                ms,
                row,
                own.marker,
                markersize=7,
                markerfacecolor=own.hex if own.filled else LIGHT["paper"],
                markeredgecolor=own.hex,
                markeredgewidth=1.5,
                zorder=3 if own.filled else 2,
            )
    names = [clipped(was.workload, NAME_LETTERS) for was, _, _ in rows]
    axes.set_yticks(range(len(rows)), labels=names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    known = [value for was, expected, bound in rows for value in (was.p99_ms, expected.p99_ms, bound)]
    from_zero(axes, "x", max(value for value in known if value < float("inf")) * 1.06)
    plain_axes(axes, "ms", "")
