"""A verdict on the terminal: the table, what it says, and where the files are. Computed elsewhere."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.plan import LIMITS, Plan, limits_told
from experiments.report import ADVICE
from experiments.results import PERCENTILES, Ceilings
from experiments.verdict import Verdict, besides, verdict_sentence
from experiments.verdict.sentence import banners, disturbed_sentence
from experiments.verdict.words import counted, number

# Shown where the summary has them: heading, column, what of its unit makes one of the heading's.
IF_KNOWN = (
    ("alone", "alone_latency_ms", 1),
    ("CPU ms", "server_cpu_ms_per_request", 1),
    ("of bare", "served_over_bare", 1),
    ("on/off", "mps_over_off", 1),
    ("GPU GiB", "gpu_memory_bytes_total", 2**30),
    ("util %", "gpu_utilisation_percent", 1),
    ("J/1000", "energy_j_per_1000_requests", 1),
)

IF_COMPARED = ("alone_latency_ms", "server_cpu_ms_per_request")  # of them, those of several servers

# Shown where the plan varies them: heading, and the name that plan and summary have for it.
IF_VARIED = (
    ("server", "server"),
    ("engine", "engine"),
    ("precision", "precision"),
    ("delay", "batch_delay_ms"),
    ("inputs", "client_batch"),
    ("sent/s", "rate_rps"),
    ("in flight", "concurrency"),
)


def tell(console: Console, verdict: Verdict) -> None:
    """Prints the table, the verdict's sentence, what belongs beside it, and what must not be overlooked."""
    if busy := disturbed_sentence(verdict):
        console.print(busy, style="yellow", markup=False, highlight=False)
    _show_table(console, verdict.plan, verdict.summary)
    console.print(verdict_sentence(verdict), style="bold", markup=False, highlight=False)
    for line in besides(verdict):
        console.print(line, markup=False, highlight=False)
    for line in (line for line in banners(verdict) if line != busy):
        console.print(line, style="yellow", markup=False, highlight=False)


def tell_files(console: Console, verdict: Verdict, page: Path) -> None:
    """Prints where the files to deploy are, and the page."""
    if verdict.advice is not None:
        console.print(f"What to deploy: {verdict.folder / ADVICE}", markup=False, highlight=False)
    console.print(f"The report, and all figures behind it: {page}", markup=False, highlight=False)


def _show_table(console: Console, plan: Plan, summary: pd.DataFrame) -> None:
    """A line for each row of the summary, with those columns that hold anything."""
    left_out = () if len(plan.server) > 1 else IF_COMPARED
    known = [
        each
        for each in IF_KNOWN
        if each[1] in summary and each[1] not in left_out and summary[each[1]].notna().any()
    ]
    table = Table(
        title=Text(f"{Path(plan.model).stem}: median of {counted(plan.runs, 'run')}"),
        title_justify="left",
        box=box.SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    mps = ["MPS"] if plan.with_mps else []
    figures = ["requests/s", "min - max", "p50", "p95", "p99 ms", "runs"]
    loads = [(heading, column) for heading, column in IF_VARIED if len(getattr(plan, column)) > 1]
    for heading in [
        "workers",
        *mps,
        "batch",
        *(heading for heading, _ in loads),
        *figures,
        *(heading for heading, _, _ in known),
    ]:
        table.add_column(heading, justify="right", no_wrap=True)
    if diagnosed := (summary["binds"] != "").any():
        table.add_column("what binds")
    for row in summary.to_dict("records"):
        table.add_row(
            *_row(row, plan.with_mps, [column for _, column in loads]),
            *(_figure(row[column] / unit) for _, column, unit in known),
            *([row["binds"]] if diagnosed else []),
        )
    console.print(table)
    if plan.noise_floor and (summary["twin"] & (summary["runs"] > 0)).any():
        console.print("The last line is the first cell once more: what differs between them is noise.")


def _row(row: Mapping[Any, Any], with_mps: bool, loads: Sequence[str]) -> Sequence[str]:
    limits = "".join(f" {each}" for each in limits_told(*(_whole(row[name]) for name in LIMITS)))
    return (
        f"{row['workers']}",
        *([f"{'on' if row['mps'] else 'off'}{limits}"] if with_mps else []),
        f"{row['batch_size']}",
        *("-" if pd.isna(row[column]) else f"{row[column]}" for column in loads),
        _figure(row["throughput_rps_median"]),
        f"{_figure(row['throughput_rps_min'])} - {_figure(row['throughput_rps_max'])}",
        *(_figure(row[f"latency_ms_p{percentile}"]) for percentile in PERCENTILES),
        f"{row['runs']}" + (f" of {row['runs'] + row['invalid_runs']}" if row["invalid_runs"] else ""),
    )


def _whole(value: float | None) -> int | None:
    return None if pd.isna(value) else int(value or 0)


def _figure(value: float) -> str:
    """Three or more significant digits, none that five runs can't carry; a dash for what was not measured."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ceilings_table(ceilings: Ceilings) -> Table:
    """The ceilings as `python -m mps.run --ceilings` prints them: a line a configuration, requests/s."""
    shown = Table(title="ceilings, requests/s", title_justify="left", box=box.SIMPLE, pad_edge=False)
    with_mps = any(row.mps for row in ceilings.rows)
    headings = ["workers", "threads", "batch", "bare model", "of roofline", "roofline", "empty handler"]
    headings[3:3] = ["MPS"] if with_mps else []
    varied = [
        name for name in ("engine", "precision") if len({getattr(row, name) for row in ceilings.rows}) > 1
    ]
    headings[3:3] = varied
    headings[-1:-1] = ["datasheet"] if ceilings.datasheet else []
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in ceilings.rows:
        reached = ceilings.bare_over_roofline(row)
        limits = "".join(f" {each}" for each in row.limits)
        shown.add_row(
            f"{row.workers}",
            f"{row.threads}",
            f"{row.batch_size}",
            *(getattr(row, name) or "as archived" for name in varied),
            *([f"{'on' if row.mps else 'off'}{limits}"] if with_mps else []),
            _told(row.bare_rps),
            "-" if reached is None else f"{reached:.0%}",
            _told(ceilings.roofline_rps(row)),
            *([_told(ceilings.datasheet_rps(row))] if ceilings.datasheet else []),
            _told(row.empty_rps),
        )
    return shown


def _told(figure: float | None) -> str:
    return "-" if figure is None else number(figure)
