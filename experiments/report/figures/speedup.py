"""The figure of throughput by the number of cards, or of cores, beside what each would add by itself."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from experiments.base.numbers import plain
from experiments.fleet.speedup import Speedup
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    Series,
    dots,
    from_zero,
    line,
    plain_axes,
)
from experiments.report.drawing.palette import SERIES
from experiments.verdict.words import told

ROOM = 1.08
MEASURED = Series("measured", SERIES[0])
LINEAR = Series("as many times the smallest", SERIES[1], dash="--")


def figure(found: Speedup) -> Figure:
    """Two panels: requests/s, and the efficiency in percent."""
    return Figure(
        "scaling",
        f"{found.model} on {found.hardware}, by {found.unit}",
        [
            Panel("Throughput", _described(found), partial(_throughput, found)),
            Panel("Efficiency", _efficiencies(found), partial(_efficiency, found)),
        ],
        [MEASURED, LINEAR],
    )


def _throughput(found: Speedup, axes: Axes) -> None:
    at = [each.units for each in found.reached]
    first = found.reached[0]
    linear = [first.rps.likely * each.units / first.units for each in found.reached]
    _measured(axes, at, [(each.rps.low, each.rps.likely, each.rps.high) for each in found.reached])
    line(axes, LINEAR, at, linear)
    plain_axes(axes, found.unit, "requests/s")
    axes.set_xticks(at, labels=[plain(each, 4) for each in at])
    axes.set_xlim(0, ROOM * max(at))
    from_zero(axes, "y", ROOM * max(*linear, *(each.rps.high for each in found.reached)))


def _efficiency(found: Speedup, axes: Axes) -> None:
    at = [each.units for each in found.reached]
    shares = [each.efficiency for each in found.reached]
    _measured(axes, at, [(100 * each.low, 100 * each.likely, 100 * each.high) for each in shares])
    line(axes, LINEAR, at, [100.0] * len(at))
    plain_axes(axes, found.unit, "%")
    axes.set_xticks(at, labels=[plain(each, 4) for each in at])
    axes.set_xlim(0, ROOM * max(at))
    from_zero(axes, "y", ROOM * max(100.0, *(100 * each.high for each in shares)))


def _measured(axes: Axes, at: Sequence[float], ranges: Sequence[tuple[float, float, float]]) -> None:
    low, likely, high = zip(*ranges, strict=True)
    axes.vlines(at, low, high, color=MEASURED.hex, alpha=0.28, linewidth=5)
    line(axes, MEASURED, at, likely)
    dots(axes, MEASURED, at, likely)


def _described(found: Speedup) -> str:
    figures = [
        f"{plain(each.units, 6)}: {told(each.rps.likely, each.rps.low, each.rps.high)}"
        for each in found.reached
    ]
    return f"Median requests/s with the range of the runs, by {found.unit}, {'; '.join(figures)}."


def _efficiencies(found: Speedup) -> str:
    figures = [f"{plain(each.units, 6)}: {100 * each.efficiency.likely:.0f} %" for each in found.reached]
    return f"Requests/s by each of the {found.unit} over those of the smallest number, {'; '.join(figures)}."
