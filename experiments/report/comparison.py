"""Several runs side by side: other machines, other days, other models.

The same building blocks as a single run's report; what is a difference is decided by the same statistics.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from matplotlib.axes import Axes

from experiments.base.errors import UsageError
from experiments.base.shown import command
from experiments.plan import Cell
from experiments.report import PAGE
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    Series,
    counts_on_x,
    dodge,
    dots,
    from_zero,
    line,
    place,
    plain_axes,
)
from experiments.report.figures import published
from experiments.report.figures.layout import best_by_size, series_of
from experiments.report.page import KeyFigure, Page
from experiments.report.sections import Section, beside_published
from experiments.report.table import (
    NOTHING,
    Column,
    Field,
    Table,
    number_field,
    outcome_field,
    ratio_field,
)
from experiments.verdict.sentence import banners
from experiments.verdict.stats import OUTCOMES, compare_all
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import (
    DASH,
    apart,
    arm,
    change,
    configuration,
    counted,
    interval,
    joined,
    number,
    range_of,
    sentence,
    told,
)

MOST_PANELS = 12
MOST_KEY_FIGURES = 8
ROOM = 1.06
Named = Mapping[str, Verdict]


def of_runs(runs: Sequence[Verdict], out: Path) -> Page:
    """The report on these runs, as it will stand in `out`: links lead from there to each run's own report.

    Raises UsageError for fewer than two runs, or one that is given twice.
    """
    if len(runs) < 2:
        raise UsageError("one results folder has nothing to be compared with: give two or more")
    if len({verdict.folder.resolve() for verdict in runs}) < len(runs):
        raise UsageError("the same results folder is given twice: give different ones")
    named = _named(runs)
    hardware = joined(dict.fromkeys(verdict.hardware for verdict in runs))
    return Page(
        title=f"{counted(len(runs), 'run')} side by side",
        eyebrow=f"{counted(len(runs), 'run')} · {hardware}",
        verdict=_verdict(named),
        besides=[],
        banners=_banners(named),
        key_figures=_key_figures(named),
        sections=_sections(named, out),
        note=hardware + (" · random weights" if any(verdict.random_weights for verdict in runs) else ""),
    )


def _named(runs: Sequence[Verdict]) -> Named:
    """The runs by their folders' names, with their parents' where two are called the same."""
    if len({verdict.name for verdict in runs}) == len(runs):
        return {verdict.name: verdict for verdict in runs}
    return {f"{verdict.folder.resolve().parent.name}/{verdict.name}": verdict for verdict in runs}


def _verdict(named: Named) -> str:
    """Where each model reaches most, by where loads came from; a stand-in for a GPU counts only where there
    is nothing else."""
    found = []
    for model, source in dict.fromkeys((verdict.model, verdict.loads_from) for verdict in named.values()):
        rated = [
            (verdict.advice.best.median.median, name, verdict.advice)
            for name, verdict in named.items()
            if (verdict.model, verdict.loads_from) == (model, source) and verdict.advice
        ]
        loads = _loads(named, source)
        if not rated:
            found.append(f"{model}{loads}: nothing valid is measured")
            continue
        of_gpus = [each for each in rated if not named[each[1]].stood_in_for]
        figure, name, advice = max(of_gpus or rated, key=lambda each: each[0])
        unit = advice.unit
        found.append(
            f"in {name}, on {named[name].hardware}{loads}, {model} reaches most: {number(figure)} {unit} "
            f"with {configuration(advice.best.cell)}"
        )
    return sentence("; ".join(found))


def _banners(named: Named) -> list[str]:
    """What differs between the runs first; then what is to be known of each, once where it is the same."""
    names: dict[str, list[str]] = {}
    for name, verdict in named.items():
        for text in banners(verdict):
            names.setdefault(text, []).append(name)
    told_once = [text if len(of) == len(named) else f"{joined(of)}: {text}" for text, of in names.items()]
    different = [what for what, values in _depended_on(named).items() if any(v != values[0] for v in values)]
    if different:
        told_once.insert(0, f"Not measured alike: {joined(different)} differ, which may explain the rest.")
    return told_once


def _depended_on(named: Named) -> dict[str, list[Any]]:
    """What a figure depends on, of every run."""
    runs = named.values()
    return {
        "hardware": [verdict.hardware for verdict in runs],
        "where loads came from": [verdict.loads_from for verdict in runs],
        "models": [verdict.model for verdict in runs],
        "archives": [verdict.archive.get("sha256") for verdict in runs],
        "versions": [verdict.environment.get("versions") for verdict in runs],
        "commits": [verdict.environment.get("git_commit") for verdict in runs],
        "servers": [(verdict.plan.server, verdict.environment.get("servers")) for verdict in runs],
        "engines": [verdict.plan.engine for verdict in runs],
        "precisions": [verdict.plan.precision for verdict in runs],
        "inputs": [(verdict.plan.tokens, verdict.plan.input, verdict.plan.input_as) for verdict in runs],
        "requests in flight": [verdict.plan.concurrency for verdict in runs],
        "rates": [(verdict.plan.rate_rps, verdict.plan.slo) for verdict in runs],
        "inputs in a request": [verdict.plan.client_batch for verdict in runs],
        "batch delays": [verdict.plan.batch_delay_ms for verdict in runs],
    }


def _key_figures(named: Named) -> list[KeyFigure]:
    figures = []
    for name, verdict in list(named.items())[:MOST_KEY_FIGURES]:
        if verdict.advice is None:
            figures.append(KeyFigure(name, DASH, note=verdict.hardware))
        else:
            best, unit = verdict.advice.best.median.median, verdict.advice.unit
            figures.append(KeyFigure(name, number(best), unit, verdict.hardware))
    return figures


def _sections(named: Named, out: Path) -> list[Section]:
    drawn = _figure(named)
    beside = published.figures(list(named.values()), list(named))
    again = command("python", "-m", "mps.report", *(each.folder for each in named.values()), "--out", out)
    return [
        _runs_section(named, out),
        *([_throughput_section(drawn)] if drawn else []),
        _cells_section(named),
        *([beside_published(beside)] if beside else []),
        Section("reproduce", "How to reproduce", command=again),
    ]


def _throughput_section(drawn: Figure) -> Section:
    caption = "Every dot is a run of a cell, every bar the range of its runs; lines join the medians."
    return Section("throughput", "Throughput", figures=[drawn], captions=[caption])


def _runs_section(named: Named, out: Path) -> Section:
    columns = [
        Column("run", numeric=False),
        Column("started", "UTC", numeric=False),
        Column("model", numeric=False),
        Column("hardware", numeric=False),
        Column("valid runs"),
        Column("noise floor", "how far a cell that was measured twice is from itself"),
        Column("best configuration", numeric=False),
        Column("its figure"),
        Column("range", "least and most of its runs"),
        Column("p99 ms"),
        Column("MPS there", "what MPS changes at the best configuration"),
    ]
    rows = [[*_what(name, verdict, out), *_best(verdict)] for name, verdict in named.items()]
    return Section("runs", "The runs", tables=[Table("runs", columns, rows)])


def _address(path: str) -> str:
    """A relative path as an address: that of a folder called `javascript:...` begins with no scheme."""
    return quote(os.fsencode(path))


def _what(name: str, verdict: Verdict, out: Path) -> list[Field]:
    """What a run is."""
    valid = len(verdict.trials) - len(verdict.invalid)
    return [
        Field(name, link=_address(os.path.relpath(verdict.folder.resolve() / PAGE, out.resolve()))),
        Field(f"{verdict.started_at:%Y-%m-%d %H:%M}") if verdict.started_at else NOTHING,
        Field(verdict.model),
        Field(verdict.hardware),
        Field(f"{valid}/{len(verdict.planned)}", valid, look="warn" if verdict.invalid else ""),
        Field(apart(verdict.floor), verdict.floor) if verdict.floor else NOTHING,
    ]


def _best(verdict: Verdict) -> list[Field]:
    """Its best configuration, and what that reaches."""
    if verdict.advice is None:
        return [NOTHING] * 5
    best = verdict.advice.best
    pair = verdict.pair_at(best.cell)
    return [
        Field(configuration(best.cell)),
        Field(f"{number(best.median.median)} {verdict.advice.unit}", best.median.median),
        Field(range_of(best.median.low, best.median.high)),
        number_field(verdict.measured(best.cell).known("latency_ms_p99")),
        Field(change(pair.comparison.ratio), pair.comparison.ratio) if pair else NOTHING,
    ]


def _cells_section(named: Named) -> Section:
    """The cells that the first run has too, against it."""
    (first_name, first), *others = named.items()
    own = {_setting(measured.cell): measured for measured in first.grid}
    met = [
        (name, measured, own[_setting(measured.cell)])
        for name, verdict in others
        if verdict.loads_from == first.loads_from
        for measured in verdict.grid
        if _setting(measured.cell) in own
    ]
    title = "Cell by cell"
    if not met:
        return Section(
            "cells",
            title,
            f"No cell of {first_name} has valid runs in another of these: model, engine, precision, arm, "
            "workers, batch size and where loads came from would have to be the same.",
        )
    floor = max(verdict.floor or 1.0 for verdict in named.values())
    compared = compare_all([(now.rps, then.rps) for _, now, then in met], noise_floor=floor)
    rows = [
        [
            Field(configuration(now.cell)),
            Field(name),
            number_field(now.median_rps),
            number_field(then.median_rps),
            ratio_field(each),
            Field(interval(each)),
            outcome_field(each),
        ]
        for (name, now, then), each in zip(met, compared, strict=True)
    ]
    columns = [
        Column("cell", numeric=False),
        Column("run", numeric=False),
        Column("requests/s", "median of its valid runs"),
        Column(first_name, "median of the same cell there"),
        Column("change"),
        Column("interval", "of the ratio"),
        Column("verdict", f"{counted(len(met), 'pair')} allowed for", numeric=False),
    ]
    counts = Counter(each.outcome for each in compared)
    parts = [f"{counts[name]} {name}" for name in OUTCOMES if counts[name]]
    caption = (
        "Runs of different days or machines differ by more than the runs of one: an interval holds whatever "
        "differs between these two runs, not its cause."
    )
    table = Table("compared", columns, rows)
    return Section(
        "cells", title, f"Against {first_name}: {joined(parts)}.", captions=[caption], tables=[table]
    )


def _setting(cell: Cell) -> tuple[Any, ...]:
    """What must be the same for two cells to be compared."""
    return astuple(replace(cell, batch_delay_ms=0, twin=False))


def _figure(named: Named) -> Figure | None:
    """A panel for each model, number of workers and arm; runs are the series. Where there are too many
    panels, those in which the most runs meet."""
    panels: dict[str, dict[str, list[Measured]]] = {}
    for name, verdict in named.items():
        for measured in best_by_size(verdict.grid):
            runs = panels.setdefault(_panel_title(named, verdict, measured.cell), {})
            runs.setdefault(name, []).append(measured)
    if not panels:
        return None
    meeting = sorted(panels, key=lambda title: -len(panels[title]))[:MOST_PANELS]
    series = series_of(list(named))
    return Figure(
        "runs",
        "Throughput of the runs by batch size",
        [
            Panel(title, _described(runs), partial(_draw, runs, series))
            for title, runs in panels.items()
            if title in meeting
        ],
        series,
    )


def _panel_title(named: Named, of: Verdict, cell: Cell) -> str:
    model = f"{cell.model}, " if len({verdict.model for verdict in named.values()}) > 1 else ""
    arms = f", {arm(cell)}" if any(verdict.plan.with_mps for verdict in named.values()) else ""
    return f"{model}{counted(cell.workers, 'worker')}{arms}{_loads(named, of.loads_from)}"


def _loads(named: Named, source: str) -> str:
    """Where loads came from, in a sentence, where that is not the same in all runs."""
    return f", loads from {source}" if len({each.loads_from for each in named.values()}) > 1 else ""


def _draw(runs: Mapping[str, Sequence[Measured]], series: Sequence[Series], axes: Axes) -> None:
    shown = [each for each in series if each.label in runs]
    for index, own in enumerate(shown):
        cells = runs[own.label]
        at = [place(measured.cell.batch_size) + dodge(index, len(shown)) for measured in cells]
        low, high = ([end(measured.rps) for measured in cells] for end in (min, max))
        axes.vlines(at, low, high, color=own.hex, alpha=0.28, linewidth=5)
        line(axes, own, at, [median(measured.rps) for measured in cells])
        each_run = [(x, rps) for x, measured in zip(at, cells, strict=True) for rps in measured.rps]
        dots(axes, own, [x for x, _ in each_run], [rps for _, rps in each_run])
    everything = [measured for cells in runs.values() for measured in cells]
    plain_axes(axes, "batch size", "requests/s")
    counts_on_x(axes, [measured.cell.batch_size for measured in everything])
    from_zero(axes, "y", max(max(measured.rps) for measured in everything) * ROOM)


def _described(runs: Mapping[str, Sequence[Measured]]) -> str:
    parts = [
        f"{name}: " + "; ".join(f"{each.cell.batch_size}: {told(each.median_rps)}" for each in cells)
        for name, cells in runs.items()
    ]
    return f"Median requests/s by batch size. {'. '.join(parts)}."
