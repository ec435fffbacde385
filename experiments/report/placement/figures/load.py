"""The figure of GPUs against load: how many every strategy needs where all rates are a factor higher."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.base.numbers import plain
from experiments.report.drawing.canvas import Figure, Panel, Series, dots, from_zero, line, plain_axes
from experiments.report.drawing.palette import MARKERS, SERIES
from experiments.report.placement.compared import Needed
from experiments.verdict.words import TIMES

APART = 0.018
"""Between the markers of two strategies that need as many, in times the rates."""
BOUND = Series("lower bound", "muted", "", ":")


def figure(needed: Needed) -> Figure | None:
    """None where no strategy found anything."""
    lines = looks(needed)
    if not lines:
        return None
    parts = [
        f"{strategy}: {', '.join(f'{factor:g} times the rates {gpus}' for factor, gpus in found.items())}"
        for strategy, found in needed.gpus.items()
        if found
    ]
    bound = ", ".join(f"{factor:g} times the rates {gpus}" for factor, gpus in needed.at_least.items())
    told = f"GPUs by load. {'. '.join(parts)}. Lower bound: {bound}."
    panel = Panel("", told, partial(_draw, needed, lines))
    return Figure("load", "GPUs against load", [panel], [*lines.values(), BOUND])


def looks(needed: Needed) -> dict[str, Series]:
    """The strategies that found something, each in its look."""
    found = [strategy for strategy, gpus in needed.gpus.items() if gpus]
    return {
        strategy: Series(strategy, colour, marker)
        for strategy, colour, marker in zip(found, SERIES, MARKERS, strict=False)
    }


def _draw(needed: Needed, lines: dict[str, Series], axes: Axes) -> None:
    factors = list(needed.at_least)
    line(axes, BOUND, factors, list(needed.at_least.values()))
    for number, (strategy, own) in enumerate(lines.items()):
        shift = (number - (len(lines) - 1) / 2) * APART
        found = needed.gpus[strategy]
        at = [factor + shift for factor in found]
        line(axes, own, at, list(found.values()))
        dots(axes, own, at, list(found.values()), size=26)
    most = max(max(found.values()) for found in needed.gpus.values() if found)
    from_zero(axes, "y", most * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(0, factors[-1] * 1.06)
    axes.set_xticks(factors, labels=[f"{TIMES}{plain(factor, 3)}" for factor in factors])
    plain_axes(axes, "the demand's rates", "GPUs")
