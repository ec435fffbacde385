"""The figure of the GPUs: a bar for each, its parts to scale, filled as far as they work."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from experiments.base.numbers import plain
from experiments.report.drawing.canvas import WIDTH, Figure, Margins, Panel, Series, plain_axes
from experiments.report.drawing.palette import LIGHT
from experiments.report.placement.parts import Alike, Used
from experiments.report.placement.placing import Placing, clipped
from experiments.report.placement.tables import numbers
from experiments.verdict.words import TIMES, counted, percent

MOST = 40
"""Bars; more of them nobody looks at."""
IN_A_PANEL = 10
LINE = 12.5
"""A line of text, in points."""
LETTER, BOLD_LETTER = 5.3, 6.9
"""A letter's width in the mean, in points."""
MARGINS = Margins(left=58.0, right=14.0, top=18.0, bottom=34.0)
GAP = 0.18
"""Between two bars, in lines."""
LEGEND = [Series("a part, filled as far as it works", "bar", "s", line=False)]


def figure(placing: Placing, gpus: Sequence[Alike]) -> Figure:
    """The first MOST of the GPUs."""
    drawn = gpus[:MOST]
    panels = [
        _panel(placing, drawn[first : first + IN_A_PANEL]) for first in range(0, len(drawn), IN_A_PANEL)
    ]
    return Figure("gpus", "GPUs and their parts", panels, LEGEND)


def _panel(placing: Placing, gpus: Sequence[Alike]) -> Panel:
    told = " ".join(_told(placing, alike) for alike in gpus)
    lines = sum(_lines(alike) + 2 * GAP for alike in gpus)
    height = MARGINS.top + MARGINS.bottom + LINE * lines
    return Panel("", told, partial(_draw, placing, gpus, lines), height=height, margins=MARGINS)


def _told(placing: Placing, alike: Alike) -> str:
    """A GPU in words."""
    parts = []
    for used in alike.parts:
        who = " and ".join(
            f"{placing.problem.workloads[share.resident.workload].name} in batches of {share.resident.batch}"
            for share in used.shares
        )
        parts.append(
            f"{placing.unit(used.part.size)} {who} every {plain(used.part.duty_ms, 3)} ms, "
            f"{percent(used.busy, 3)} of the time at work"
        )
    several = len(alike.numbers) > 1
    return f"GPU{'s' if several else ''} {numbers(alike.numbers)}: {'; '.join(parts)}."


def _lines(alike: Alike) -> int:
    """Of text in a bar: two for each resident of the part that has most of them, and its own."""
    return 2 * max(1, *(len(used.shares) for used in alike.parts)) + 1


def _draw(placing: Placing, gpus: Sequence[Alike], lines: float, axes: Axes) -> None:
    whole = 100 if placing.in_percent else placing.problem.rules.card.sizes[-1]
    top, middles = 0.0, []
    for alike in gpus:
        top, height, left = top + GAP, float(_lines(alike)), 0
        for used in alike.parts:
            filled = height * min(1.0, used.busy)
            _box(axes, left, used.part.size, (top, height), whole, facecolor=LIGHT["band"])
            _box(axes, left, used.part.size, (top + height - filled, filled), whole, facecolor=LIGHT["bar"])
            _box(axes, left, used.part.size, (top, height), whole, fill=False, edgecolor=LIGHT["theirs"])
            _write(placing, used, (left + 0.016 * whole, top, height), used.part.size / whole, axes)
            left += used.part.size
        if left < whole:
            look = {"fill": False, "edgecolor": LIGHT["theirs"], "linestyle": ":"}
            _box(axes, left, whole - left, (top, height), whole, **look)
        middles.append(top + height / 2)
        top += height + GAP
    axes.set_yticks(middles, labels=[_label(alike) for alike in gpus])
    axes.set_ylim(lines, 0)
    axes.set_xlim(0, whole)
    axes.set_xticks([0, 25, 50, 75, 100] if placing.in_percent else range(whole + 1))
    axes.grid(visible=False, axis="both")
    axes.spines["bottom"].set_visible(False)
    plain_axes(axes, "% of the GPU" if placing.in_percent else "slices", "")


def _label(alike: Alike) -> str:
    if len(alike.numbers) == 1:
        return f"GPU {alike.numbers[0]}"
    return f"{len(alike.numbers)} {TIMES}\nfrom {alike.numbers[0]}"


def _box(axes: Axes, left: int, size: int, high: tuple[float, float], whole: int, **look: Any) -> None:
    """Of a part's width, a little apart from the next one; `high` is its top and its height."""
    gap = 0.004 * whole
    line_width = 0.8 if "edgecolor" in look else 0
    axes.add_patch(Rectangle((left + gap, high[0]), size - 2 * gap, high[1], linewidth=line_width, **look))


def _write(placing: Placing, used: Used, at: tuple[float, float, float], width: float, axes: Axes) -> None:
    """Who is on a part, as far as there is room. `at` is its left, top and height, `width` of the GPU's 1."""
    left, top, height = at
    room = width * (WIDTH - MARGINS.left - MARGINS.right) - 8
    letters = int(room / LETTER)

    def line(text: str, below: float, **look: Any) -> None:
        axes.text(left, top + below, text, va="center", **look)

    muted = {"fontsize": 9.5, "color": LIGHT["muted"]}
    for number, share in enumerate(used.shares):
        name, batch = placing.problem.workloads[share.resident.workload].name, share.resident.batch
        cycle = f"{plain(used.part.duty_ms, 3)} ms"
        how = f"batch {batch} every {cycle}", f"batch {batch}, {cycle}", f"batch {batch}", f"b {batch}"
        line(clipped(name, int(room / BOLD_LETTER)), 2 * number + 0.62, fontsize=10, fontweight="bold")
        line(_fitting(letters, *how), 2 * number + 1.55, **muted)
    copies = f"{counted(used.part.processes, 'copy', 'copies')}, " if used.part.processes > 1 else ""
    work = f"{percent(used.busy, 3)} at work"
    line(_fitting(letters, copies + work, work, percent(used.busy, 2)), height - 0.55, **muted)


def _fitting(letters: int, *texts: str) -> str:
    """The first that there is room for, else nothing."""
    return next((text for text in texts if len(text) <= letters), "")
