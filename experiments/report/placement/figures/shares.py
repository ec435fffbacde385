"""The figure of throughput by share, a panel for each workload: where a larger share brings little more."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from experiments.placement.strategies.pieces import knee
from experiments.report.drawing.canvas import Figure, Panel, Series, dots, from_zero, line, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.report.placement.figures.latency import TITLE_LETTERS
from experiments.report.placement.parts import Alike, chosen
from experiments.report.placement.placing import Placing, clipped
from experiments.verdict.words import told

ALONE = Series("best batch under the bound", "off", "o")
COPIES = Series("with several copies on a part", "third", "s", ":")
KNEE = Series("knee", "on", "D", line=False)


@dataclass(frozen=True, slots=True)
class ByShare:
    """Of one workload: requests/s by size alone on a part, by one process and by the best number of copies,
    the knee's size, and the sizes in use."""

    name: str
    rates_rps: dict[int, float]
    copies_rps: dict[int, float]
    knee: int
    used: tuple[int, ...]


def by_share(placing: Placing, gpus: Sequence[Alike], index: int) -> ByShare:
    """The knee is the gpu-let paper's: furthest above the straight line from the smallest to the whole."""
    problem, card = placing.problem, placing.problem.rules.card
    return ByShare(
        problem.workloads[index].name,
        {size: problem.alone_rps(index, size) for size in card.sizes},
        {size: max(problem.alone_rps(index, size, count) for count in card.processes) for size in card.sizes},
        knee(problem, index),
        tuple(sorted({each.size for each in chosen(gpus, index)})),
    )


def figure(placing: Placing, gpus: Sequence[Alike]) -> Figure | None:
    """None where the profile has one size only."""
    if len(placing.problem.rules.card.sizes) < 2:
        return None
    several = max(placing.problem.rules.card.processes) > 1
    panels = [_panel(placing, by_share(placing, gpus, index), several) for index in placing.drawn()]
    legend = [
        ALONE,
        *([COPIES] if several else []),
        KNEE,
        Series("in use", "ink", "o", line=False, filled=False),
    ]
    return Figure("shares", f"Requests/s by {'share' if placing.in_percent else 'slices'}", panels, legend)


def _panel(placing: Placing, told_by: ByShare, several: bool) -> Panel:
    rates = "; ".join(f"{placing.unit(size)}: {told(rate)}" for size, rate in told_by.rates_rps.items())
    copies = "; ".join(f"{placing.unit(size)}: {told(rate)}" for size, rate in told_by.copies_rps.items())
    used = ", ".join(placing.unit(size) for size in told_by.used)
    return Panel(
        clipped(told_by.name, TITLE_LETTERS),
        f"Requests/s alone on a part with the best batch under the bound, {rates}."
        f"{f' With several copies, {copies}.' if several else ''} "
        f"The knee: {placing.unit(told_by.knee)}. In use: {used}.",
        partial(_draw, told_by, several, placing.in_percent),
    )


def _draw(told_by: ByShare, several: bool, in_percent: bool, axes: Axes) -> None:
    sizes = list(told_by.rates_rps)
    if several:
        line(axes, COPIES, sizes, list(told_by.copies_rps.values()))
        dots(axes, COPIES, sizes, list(told_by.copies_rps.values()), size=22)
    line(axes, ALONE, sizes, list(told_by.rates_rps.values()))
    dots(axes, ALONE, sizes, list(told_by.rates_rps.values()), size=22)
    dots(axes, KNEE, [told_by.knee], [told_by.rates_rps[told_by.knee]], size=62)
    in_use = [(told_by.copies_rps if several else told_by.rates_rps)[size] for size in told_by.used]
    axes.plot(
        told_by.used, in_use, "o", markersize=13, fillstyle="none", color=LIGHT["ink"], markeredgewidth=1.4
    )
    from_zero(axes, "y", max(*told_by.copies_rps.values(), *told_by.rates_rps.values()) * 1.1)
    axes.set_xlim(0, sizes[-1] * 1.05)
    axes.set_xticks(sizes if len(sizes) <= 8 else sizes[:: len(sizes) // 6])
    plain_axes(axes, "share of the GPU, %" if in_percent else "slices", "requests/s")
