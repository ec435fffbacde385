"""The figure of the requests within their bounds, a row for each strategy's placement."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from experiments.report.drawing.canvas import Figure, Margins, Panel, Series, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.report.placement.compared import Attained
from experiments.verdict.words import counted, percent

ROW = 27.0
ALL = Series("of all requests", "off", "o", line=False)
WORST = Series("of the model with the least", "on", "D", line=False, filled=False)
MARGINS = Margins(left=88.0, right=62.0)


def figure(attained: Sequence[Attained]) -> Figure:
    """Strategies without a placement have a row as well."""
    parts = [
        f"{each.strategy} on {counted(each.gpus, 'GPU')}: {percent(each.attainment)} of all requests, "
        f"{percent(each.worst.attainment)} of {each.worst.workload}"
        if each.gpus
        else f"{each.strategy}: no placement"
        for each in attained
    ]
    panel = Panel(
        "",
        f"Requests answered within their bounds. {'; '.join(parts)}.",
        partial(_draw, attained),
        height=MARGINS.top + MARGINS.bottom + ROW * len(attained),
        margins=MARGINS,
    )
    return Figure("attainment", "Within the bounds, by strategy", [panel], [ALL, WORST])


def _draw(attained: Sequence[Attained], axes: Axes) -> None:
    beside = axes.get_yaxis_transform()  # x in widths of the axes, y in rows
    for row, each in enumerate(attained):
        if not each.gpus:
            axes.text(0.02, row, "no placement", transform=beside, va="center", color=LIGHT["muted"])
            continue
        axes.text(1.05, row, counted(each.gpus, "GPU"), transform=beside, va="center", fontsize=10.5)
        for share, own in ((each.worst.attainment, WORST), (each.attainment, ALL)):
            axes.plot(
                100 * share,
                row,
                own.marker,
                markersize=7 if own.filled else 9,
                markerfacecolor=own.hex if own.filled else LIGHT["paper"],
                markeredgecolor=own.hex,
                markeredgewidth=1.5,
                clip_on=False,
            )
    axes.set_yticks(range(len(attained)), labels=[each.strategy for each in attained])
    axes.set_ylim(len(attained) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    plain_axes(axes, "% of requests within their bounds", "")
