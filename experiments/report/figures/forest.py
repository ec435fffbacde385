"""The figure of what MPS changes: a row for each pair of cells, its ratio with the interval, the noise."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from matplotlib.axes import Axes

from experiments.report.drawing.canvas import Figure, Margins, Panel, Series, logarithmic, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.verdict.stats import Comparison
from experiments.verdict.verdict import Pair, Verdict
from experiments.verdict.words import counted, interval, special

ROW = 23.0
WIDEST = 4.0  # an interval of few runs may reach anywhere: the axis shows this factor at most
LOOKS = {
    "better": Series("better", "better", "o", line=False),
    "worse": Series("worse", "worse", "s", line=False),
    "better by itself": Series("better by itself", "better", "o", line=False, filled=False),
    "worse by itself": Series("worse by itself", "worse", "s", line=False, filled=False),
    "within noise": Series("within noise", "muted", "D", line=False, filled=False),
    "not enough runs": Series("not enough runs", "theirs", "v", line=False, filled=False),
}


def figure(verdict: Verdict) -> Figure | None:
    """None where no pair of cells with and without MPS has valid runs."""
    pairs = [pair for pair in verdict.pairs if pair.known]
    if not pairs:
        return None
    limits = _limits(pairs, verdict.floor or 1.0)
    panels = [
        _panel(counted(workers, "worker"), list(of_workers), verdict.floor, limits)
        for workers, of_workers in groupby(pairs, key=lambda pair: pair.with_mps.workers)
    ]
    shown = {pair.comparison.outcome for pair in pairs}
    legend = [series for name, series in LOOKS.items() if name in shown]
    return Figure("mps", "Throughput with MPS over that without", panels, legend)


def row_label(pair: Pair) -> str:
    """'batch 8', with the limits where there are some, and what is unusual."""
    cell = pair.with_mps
    limits = f" at {' and '.join(cell.limits)}" if cell.limits else ""
    return f"batch {cell.batch_size}{limits}{special(cell)}"


def _panel(title: str, pairs: Sequence[Pair], floor: float | None, limits: tuple[float, float]) -> Panel:
    told = "; ".join(
        f"{row_label(pair)}: {pair.comparison.ratio:.2f} ({interval(pair.comparison)}), "
        f"{pair.comparison.outcome}"
        for pair in pairs
    )
    noise = f" The same cell measured twice differs by a factor of {floor:.3f}." if floor else ""
    labels = max(len(row_label(pair)) for pair in pairs)
    margins = Margins(left=14 + 5.9 * labels, right=107)
    return Panel(
        title,
        f"Ratio of requests/s with MPS to without, with its interval. {told}.{noise}",
        partial(_draw, pairs, floor, limits),
        height=margins.top + margins.bottom + ROW * len(pairs),
        margins=margins,
    )


def _draw(pairs: Sequence[Pair], floor: float | None, limits: tuple[float, float], axes: Axes) -> None:
    if floor:
        axes.axvspan(1 / floor, floor, color=LIGHT["band"], linewidth=0, zorder=0)
    axes.axvline(1, color=LIGHT["muted"], linewidth=0.9, zorder=1)
    for name, series in LOOKS.items():
        rows = [row for row, pair in enumerate(pairs) if pair.comparison.outcome == name]
        if rows:
            _draw_rows(axes, rows, [pairs[row].comparison for row in rows], series, limits)
    for row, pair in enumerate(pairs):
        _tell(axes, row, pair.comparison)
    axes.set_yticks(range(len(pairs)), labels=[row_label(pair) for pair in pairs])
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    logarithmic(axes, "x", *limits)
    plain_axes(axes, "ratio, MPS on / off", "")


def _draw_rows(
    axes: Axes,
    rows: Sequence[int],
    compared: Sequence[Comparison],
    series: Series,
    limits: tuple[float, float],
) -> None:
    low = [max(each.low, limits[0] / 1.1) for each in compared]
    high = [min(each.high, limits[1] * 1.1) for each in compared]
    axes.hlines(rows, low, high, color=series.hex, linewidth=2, zorder=2)
    axes.plot(
        [each.ratio for each in compared],
        rows,
        linestyle="",
        marker=series.marker,
        markersize=6.5,
        markerfacecolor=series.hex if series.filled else LIGHT["paper"],
        markeredgecolor=series.hex,
        markeredgewidth=1.4,
        zorder=3,
    )


def _tell(axes: Axes, row: int, compared: Comparison) -> None:
    """The ratio and its interval, to the right of the axes."""
    where = axes.get_yaxis_transform()  # x in widths of the axes, y in rows
    width = axes.get_window_extent().width * 72 / axes.figure.dpi
    axes.text(
        1.05, row, f"{compared.ratio:.2f}", transform=where, va="center", fontsize=10.5, fontweight="bold"
    )
    beside = 1.05 + 31 / width
    axes.text(
        beside, row, interval(compared), transform=where, va="center", fontsize=10.5, color=LIGHT["muted"]
    )


def _limits(pairs: Sequence[Pair], floor: float) -> tuple[float, float]:
    """What the axis shows: every ratio, every interval as far as it is not absurdly wide, the noise."""
    ratios = [pair.comparison.ratio for pair in pairs]
    lows = [max(pair.comparison.low, min(ratios) / WIDEST) for pair in pairs]
    highs = [min(pair.comparison.high, max(ratios) * WIDEST) for pair in pairs]
    return min(*lows, 1 / floor, 0.95), max(*highs, floor, 1.05)
