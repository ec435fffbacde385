"""What `python -m experiments.load` prints of a load: in words, or as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from experiments.load import ClosedLoop, Load, LoadResult, OpenLoop
from experiments.load.result import LATE_MS


def show(result: LoadResult, load: Load, as_json: bool) -> None:
    """Prints what a load found: a table, or one JSON object."""
    if as_json:
        typer.echo(json.dumps(_summary(result, load)))
        return
    table = Table(show_header=False, box=None)
    if isinstance(load, OpenLoop):
        table.add_row("asked for", f"{load.rate_rps:,g} requests/s, {load.arrivals} arrivals")
    table.add_row("throughput", f"{result.throughput_rps:,.1f} requests/s")
    for percentile in (50, 95, 99):
        table.add_row(f"latency p{percentile}", f"{result.latency_ms(percentile):,.3f} ms")
    table.add_row("measured", f"{result.requests:,} requests in {result.window_s:.2f} s")
    if isinstance(load, ClosedLoop):
        table.add_row("connections", f"{load.connections}")
    table.add_row("answers", ", ".join(f"{count:,} x {status}" for status, count in result.statuses.items()))
    table.add_row("generator's CPU", f"{result.cpu_us_per_request:.1f} us a request")
    if pacing := result.pacing:
        p99 = f"p99 {pacing.lateness_ms(99):.3f} ms"
        table.add_row("generator's lateness", f"{p99}, {pacing.late:.2%} over {LATE_MS:g} ms")
    Console(file=sys.stdout, markup=False).print(table)


def _summary(result: LoadResult, load: Load) -> dict[str, Any]:
    """The program's JSON object. Figures that don't exist, as nothing was answered, are null."""
    measured = result.requests > 0
    return {
        "throughput_rps": result.throughput_rps,
        "latency_ms": {f"p{p}": result.latency_ms(p) if measured else None for p in (50, 95, 99)},
        "statuses": result.statuses,
        "cpu_us_per_request": result.cpu_us_per_request if measured else None,
        "requests": result.requests,
        "duration_s": result.window_s,
        "connections": load.connections if isinstance(load, ClosedLoop) else load.max_in_flight,
        "lost_connections": result.lost_connections,
        "first_error": result.first_error,
        "valid": not result.problems(),
        "problems": result.problems(),
        "open_loop": _of_open_loop(result, load),
    }


def _of_open_loop(result: LoadResult, load: Load) -> dict[str, Any] | None:
    if not isinstance(load, OpenLoop) or result.pacing is None:
        return None
    return {"rate_rps": load.rate_rps, "arrivals": load.arrivals, **result.pacing.told()}
