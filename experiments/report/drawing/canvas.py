"""What all figures have in common: panels of one size, their axes, their legend, the way to SVG and to PNG.

A Figure is panels that are drawn one by one: as an SVG each, which the page lays out to the screen's width,
and together as a PNG. What is in a panel is the business of the module that draws it.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from PIL import Image

from experiments.base.numbers import plain
from experiments.report.drawing import svg
from experiments.report.drawing.palette import LIGHT

POINTS = 72  # in an inch: a panel's lengths are in points, which are the SVG's units
WIDTH = 360.0
HEIGHT = 236.0
PNG_DPI = 120
# Around the panels of a PNG, in points.
EDGE = 14.0
GUTTER = 22.0
HEADER = 30.0
LEGEND = 18.0
NOTE = 15.0
NOTE_LETTER = 5.8  # a letter's width in the mean
MOST_TICKS = 8
# Each set of steps with which a decade may be divided, the coarsest first.
STEPS = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
)


@dataclass(frozen=True, slots=True)
class Series:
    """What a legend explains: a colour of the palette, a marker, a dash. `line` False: markers only."""

    label: str
    colour: str
    marker: str = "o"
    dash: str = "-"
    line: bool = True
    filled: bool = True

    @property
    def hex(self) -> str:
        """The colour itself."""
        return LIGHT[self.colour]


@dataclass(frozen=True, slots=True)
class Margins:
    """Room around the axes of a panel, in points."""

    left: float = 46.0
    right: float = 10.0
    top: float = 28.0
    bottom: float = 36.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing. `description` is its text alternative, with the numbers."""

    title: str
    description: str
    draw: Callable[[Axes], None]
    height: float = HEIGHT
    margins: Margins = Margins()


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels that share a legend. `name` is that of its PNG, `title` says what is shown."""

    name: str
    title: str
    panels: Sequence[Panel]
    legend: Sequence[Series] = ()

    def drawn(self, note: str = "") -> "Drawn":
        """The figure, each panel drawn once: by far the most of the time goes there. `note` stands below the
        picture."""
        svgs, pictures = [], []
        for index, panel in enumerate(self.panels):
            canvas = _alone(panel)
            svgs.append(svg.inline(canvas, f"{self.name}-{index}", self._title(panel), panel.description))
            pictures.append(_picture(canvas))
        return Drawn(tuple(svgs), self, _sheet(self, pictures, note))

    def inlined(self) -> "Inlined":
        """The panels alone, where nobody needs a picture."""
        return Inlined(
            tuple(
                svg.inline(_alone(panel), f"{self.name}-{index}", self._title(panel), panel.description)
                for index, panel in enumerate(self.panels)
            )
        )

    def _title(self, panel: Panel) -> str:
        return f"{self.title}: {panel.title}" if panel.title else self.title


@dataclass(frozen=True, slots=True)
class Inlined:
    """A figure's panels as <svg> elements."""

    svgs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drawn(Inlined):
    """The same, and all of them as one picture with title and legend."""

    figure: Figure
    picture: Image.Image


@contextmanager
def theme() -> Iterator[None]:
    """The look of all figures, for what is drawn inside."""
    look: dict[Any, Any] = {
        "font.size": 11,
        "axes.labelsize": 10.5,
        "axes.facecolor": "none",
        "axes.edgecolor": LIGHT["muted"],
        "axes.labelcolor": LIGHT["muted"],
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.linewidth": 0.8,
        "grid.color": LIGHT["grid"],
        "grid.linewidth": 0.9,
        "text.color": LIGHT["ink"],
        "text.parse_math": False,  # a name may have dollars in it
        "xtick.color": LIGHT["muted"],
        "ytick.color": LIGHT["muted"],
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "lines.solid_capstyle": "round",
        "svg.fonttype": "none",
        "svg.hashsalt": "report",  # the same results give the same bytes
        "path.simplify": False,
    }
    with sns.axes_style("ticks"), mpl.rc_context(look):
        yield


def line(axes: Axes, series: Series, x: Sequence[float], y: Sequence[float]) -> None:
    """A line in the look of its series, without markers. By itself, since seaborn takes ten times as long
    where nothing is to be estimated."""
    axes.plot(x, y, color=series.hex, linestyle=series.dash, linewidth=1.7)


def dots(axes: Axes, series: Series, x: Sequence[float], y: Sequence[float], size: float = 14) -> None:
    """Markers in the look of their series."""
    sns.scatterplot(
        x=x,
        y=y,
        color=series.hex,
        marker=series.marker,
        s=size,
        alpha=0.8,
        linewidth=0,
        legend=False,
        ax=axes,
    )


def plain_axes(axes: Axes, x_label: str, unit: str) -> None:
    """Labels: the x axis below, the unit of the y axis above its end."""
    axes.set_xlabel(x_label, labelpad=5)
    axes.set_ylabel("")
    _above(axes, unit, 1.0, 0.0, ha="right", color=LIGHT["muted"], fontsize=10.5)


def counts_on_x(axes: Axes, counts: Sequence[float]) -> None:
    """A tick at each of these counts, as many as there is room for; places are `place(count)`."""
    shown = _thinned(sorted(set(counts)))
    axes.set_xticks([place(count) for count in shown], labels=[plain(count, 6) for count in shown])
    places = [place(count) for count in counts]
    spare = max(0.35, 0.06 * (max(places) - min(places)))
    axes.set_xlim(min(places) - spare, max(places) + spare)


def from_zero(axes: Axes, which: str, most: float) -> None:
    """An x or y axis from 0 to a little above `most`, with numbers that are easily read."""
    getattr(axes, f"set_{which}lim")(0, most if most > 0 else 1)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def logarithmic(axes: Axes, which: str, low: float, high: float) -> None:
    """A logarithmic x or y axis that shows `low` to `high`, with ticks at round numbers."""
    ends = low / 1.12, high * 1.12
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(*ends)
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = round_numbers(*ends)
    axis.set_ticks(ticks, labels=[short(tick) for tick in ticks])
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def round_numbers(low: float, high: float) -> list[float]:
    """Three round numbers or more between the two, evenly spread on a logarithmic scale."""
    for steps in STEPS:
        decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [number for number in found if low <= number <= high]
        if len(found) >= 3:
            return found
    return [float(f"{number:.3g}") for number in np.geomspace(low, high, 5)[1:-1]]


def place(count: float) -> float:
    """Where a batch size or a number of workers stands on the x axis: each doubling one step on."""
    return float(np.log2(count))


def dodge(index: int, of: int) -> float:
    """How far the series number `index` of `of` stands from the middle of its place."""
    return (index - (of - 1) / 2) * min(0.16, 0.5 / max(1, of))


def short(value: float) -> str:
    """A number on an axis: 0, 0.25, 20, 1,500, 20k."""
    if value >= 1e6:
        return f"{plain(value / 1e6, 6)}M"
    return (
        f"{plain(value / 1e3, 6)}k" if value >= 10_000 else f"{value:,g}" if value >= 1 else plain(value, 6)
    )


def _alone(panel: Panel) -> Canvas:
    """One panel, nothing around it."""
    canvas = Canvas(figsize=(WIDTH / POINTS, panel.height / POINTS))
    _draw(canvas, panel, 0.0, panel.height)
    return canvas


def _picture(canvas: Canvas) -> Image.Image:
    canvas.set_dpi(PNG_DPI)
    canvas.set_facecolor(LIGHT["paper"])
    agg: Any = FigureCanvasAgg(canvas)  # its methods have no types
    agg.draw()
    return Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")


def _sheet(figure: Figure, pictures: Sequence[Image.Image], note: str) -> Image.Image:
    """The panels' pictures in a grid, row by row; the title, the legend and the note around them."""
    columns = {1: 1, 2: 2, 4: 2}.get(len(figure.panels), 3)
    rows = [range(len(pictures))[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(figure.panels[index].height for index in row) for row in rows]
    inside = WIDTH * columns + GUTTER * (columns - 1)
    legend = _legend_rows(figure.legend, inside)
    notes = textwrap.wrap(note, int(inside / NOTE_LETTER))
    above, below = EDGE + HEADER + LEGEND * len(legend), EDGE + NOTE * len(notes)
    width, height = inside + 2 * EDGE, sum(heights) + above + below
    canvas = Canvas(figsize=(width / POINTS, height / POINTS))
    left = EDGE / width
    canvas.text(left, 1 - (EDGE + 14) / height, figure.title, fontsize=13, fontweight="bold")
    for number, labels in enumerate(legend):
        _legend(canvas, labels, left, 1 - (EDGE + 20 + LEGEND * number) / height)
    for number, text in enumerate(reversed(notes)):
        canvas.text(left, (EDGE + NOTE * number) / height, text, fontsize=10, color=LIGHT["muted"])
    sheet, top = _picture(canvas), above
    for row, row_height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            sheet.paste(pictures[index], (_pixels(EDGE + column * (WIDTH + GUTTER)), _pixels(top)))
        top += row_height
    return sheet


def _pixels(points: float) -> int:
    return round(points * PNG_DPI / POINTS)


def _draw(canvas: Canvas, panel: Panel, left: float, top: float) -> None:
    """A panel whose upper left corner is at these points of the canvas."""
    room = panel.margins
    width, height = canvas.get_size_inches() * POINTS
    axes = canvas.add_axes(
        (
            (left + room.left) / width,
            (top - panel.height + room.bottom) / height,
            (WIDTH - room.left - room.right) / width,
            (panel.height - room.top - room.bottom) / height,
        )
    )
    # Seaborn builds and looks through all tick labels of an axis that has no label yet.
    axes.set(xlabel=" ", ylabel=" ")
    panel.draw(axes)
    # Flush with the tick labels, not with the axis.
    _above(axes, panel.title, 0.0, -room.left, fontweight="bold", fontsize=11.5)


def _above(axes: Axes, text: str, at: float, offset: float, **look: Any) -> None:
    if text:
        axes.annotate(
            text, (at, 1), (offset, 10), xycoords="axes fraction", textcoords="offset points", **look
        )


def _legend_rows(legend: Sequence[Series], width: float) -> list[list[Series]]:
    """The legend broken into rows that fit."""
    rows: list[list[Series]] = []
    used = width
    for series in legend:
        needed = 46 + 6.3 * len(series.label)
        if used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append(series)
        used += needed
    return rows


def _legend(canvas: Canvas, legend: Sequence[Series], left: float, top: float) -> None:
    made = canvas.legend(
        handles=[_handle(series) for series in legend],
        loc="upper left",
        bbox_to_anchor=(left, top),
        ncols=len(legend),
        frameon=False,
        fontsize=10.5,
        borderpad=0.2,
        borderaxespad=0,
        handletextpad=0.5,
        columnspacing=1.4,
    )
    canvas.add_artist(made)


def _handle(series: Series) -> Line2D:
    style: Any = series.dash if series.line else ""
    return Line2D(
        [],
        [],
        label=series.label,
        color=series.hex,
        marker=series.marker,
        linestyle=style,
        markerfacecolor=series.hex if series.filled else LIGHT["paper"],
        markeredgecolor=series.hex,
    )


def _thinned(counts: Sequence[float]) -> list[float]:
    """As many of them as there is room for, the first and the last among them."""
    first, last = counts[0], counts[-1]
    room = (place(last) - place(first)) / MOST_TICKS
    shown = [first]
    for count in counts[1:-1]:
        if place(count) - place(shown[-1]) >= room and place(last) - place(count) >= room:
            shown.append(count)
    return shown if first == last else [*shown, last]
