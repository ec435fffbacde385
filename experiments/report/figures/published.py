"""The figure of our bars beside those that others published, each under the name of its hardware."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from experiments.report.drawing.canvas import Figure, Panel, Series, from_zero, plain_axes
from experiments.report.drawing.palette import LIGHT, MARKERS, SERIES
from experiments.verdict.published import (
    DOCUMENTS,
    LITSERVE,
    TORCHSERVE,
    Bar,
    Document,
    beside,
    published_ratios,
)
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import counted, told

THEIRS = ("theirs", "theirs2")
AXES = {"batch_size": "batch size", "concurrency": "requests in flight", "client_batch": "texts in a request"}
ROOM = 1.06


def figures(runs: Sequence[Verdict], names: Sequence[str] = ()) -> list[tuple[Document, Figure]]:
    """A figure for each document that says something of the same settings as these runs.

    `names` tell several runs apart.
    """
    sources = {
        f"{name}: {verdict.hardware}": verdict
        for verdict, name in zip(runs, names or ["this run"], strict=True)
    }
    found = []
    for document in DOCUMENTS:
        own = {source: verdict for source, verdict in sources.items() if verdict.kind == document.kind}
        rows = {source: _rows(verdict) for source, verdict in own.items()}
        bars = _fewer(document, beside(document, rows))
        if bars:
            found.append((document, _figure(document, bars, own)))
    return found


def _rows(verdict: Verdict) -> list[dict[str, Any]]:
    """The rows of the summary; what a request of somebody's own holds is not known."""
    unknown = {"client_batch"} if verdict.plan.input else set()
    return [
        {name: value for name, value in measured.row.items() if name not in unknown}
        for measured in verdict.grid
    ]


def _figure(document: Document, bars: Sequence[Bar], own: Mapping[str, Verdict]) -> Figure:
    """Grouped bars, theirs grey, ours in colour; for the document on MPS, panels of what it changes too."""
    series = _series(bars)
    places = sorted({bar.at for bar in bars})
    most = max(bar.throughput_rps for bar in bars)
    panels = [
        _bars_panel(title, [bar for bar in bars if bar.panel == title], series, document, places, most)
        for title in dict.fromkeys(bar.panel for bar in bars)
    ]
    if document is TORCHSERVE:
        panels += _ratio_panels(series, own)
    return Figure(f"published-{document.name}", document.title, panels, list(series.values()))


def _fewer(document: Document, bars: Sequence[Bar]) -> Sequence[Bar]:
    """Of a document with many experiments the fastest of each panel."""
    if document is not LITSERVE:
        return bars
    kept = set()
    for panel in {bar.panel for bar in bars}:
        theirs = sorted(
            (bar for bar in bars if bar.panel == panel and not bar.ours), key=lambda bar: bar.throughput_rps
        )
        kept |= {theirs[-1].source}
    return [bar for bar in bars if bar.ours or bar.source in kept]


def _series(bars: Sequence[Bar]) -> dict[str, Series]:
    """Grey for each source of theirs, a colour for each of ours."""
    theirs = list(dict.fromkeys(bar.source for bar in bars if not bar.ours))
    ours = list(dict.fromkeys(bar.source for bar in bars if bar.ours))
    colours = {source: THEIRS[index % len(THEIRS)] for index, source in enumerate(theirs)}
    colours |= {source: SERIES[index % len(SERIES)] for index, source in enumerate(ours)}
    return {
        source: Series(source, colour, MARKERS[2] if source in theirs else MARKERS[0], line=False)
        for source, colour in colours.items()
    }


def _bars_panel(
    title: str,
    bars: Sequence[Bar],
    series: Mapping[str, Series],
    document: Document,
    places: Sequence[int],
    most: float,
) -> Panel:
    told_of = []
    for source in dict.fromkeys(bar.source for bar in bars):
        figures = "; ".join(f"{bar.at}: {told(bar.throughput_rps)}" for bar in bars if bar.source == source)
        told_of.append(f"{source}, by {AXES[document.axis]}, {figures}")
    return Panel(
        title,
        f"In {document.unit}. {'. '.join(told_of)}.",
        partial(_draw_bars, bars, series, document, places, most),
    )


def _draw_bars(
    bars: Sequence[Bar],
    series: Mapping[str, Series],
    document: Document,
    places: Sequence[int],
    most: float,
    axes: Axes,
) -> None:
    sns.barplot(
        x=[bar.at for bar in bars],
        y=[bar.throughput_rps for bar in bars],
        hue=[bar.source for bar in bars],
        order=places,
        hue_order=list(series),
        palette={source: own.hex for source, own in series.items()},
        saturation=1,
        errorbar=None,
        legend=False,
        width=0.84,
        linewidth=0,
        ax=axes,
    )
    plain_axes(axes, AXES[document.axis], document.unit)
    axes.set_xticks(np.arange(len(places)), labels=[f"{place}" for place in places])
    from_zero(axes, "y", most * ROOM)


def _ratio_panels(series: Mapping[str, Series], own: Mapping[str, Verdict]) -> list[Panel]:
    """What MPS changes, theirs and ours, for each number of workers that both measured with it."""
    ratios = {
        (f"published: {hardware}", workers, size): (ratio, ratio, ratio)
        for (hardware, workers, size), ratio in published_ratios().items()
    }
    theirs = {workers for _, workers, _ in ratios}
    for source, verdict in own.items():
        for pair in verdict.pairs:
            if pair.known and not pair.with_mps.limits:
                key = source, pair.with_mps.workers, pair.with_mps.batch_size
                ratios[key] = (pair.comparison.ratio, pair.comparison.low, pair.comparison.high)
    ours = {workers for source, workers, _ in ratios if source in own}
    return [_ratio_panel(workers, ratios, series) for workers in sorted(theirs & ours)]


def _ratio_panel(
    workers: int,
    ratios: Mapping[tuple[str, int, int], tuple[float, float, float]],
    series: Mapping[str, Series],
) -> Panel:
    known = {(source, size): ratio for (source, of, size), ratio in ratios.items() if of == workers}
    figures = "; ".join(
        f"{source}, batch size {size}: {ratio[0]:.2f}" for (source, size), ratio in known.items()
    )
    return Panel(
        f"{counted(workers, 'worker')}, MPS on / off",
        f"Ratio of requests/s with MPS to without. {figures}.",
        partial(_draw_ratios, known, series),
    )


def _draw_ratios(
    known: Mapping[tuple[str, int], tuple[float, float, float]], series: Mapping[str, Series], axes: Axes
) -> None:
    sizes = sorted({size for _, size in known})
    axes.axhline(1, color=LIGHT["muted"], linewidth=0.9)
    for index, (source, own) in enumerate(series.items()):
        shift = (index - (len(series) - 1) / 2) * 0.84 / len(series)
        for (of, size), (ratio, low, high) in known.items():
            if of == source:
                at = sizes.index(size) + shift
                axes.vlines(at, low, high, color=own.hex, alpha=0.5, linewidth=2)
                axes.plot([at], [ratio], marker=own.marker, markersize=5, color=own.hex, linestyle="")
    axes.set_xticks(np.arange(len(sizes)), labels=[f"{size}" for size in sizes])
    plain_axes(axes, "batch size", "ratio")
