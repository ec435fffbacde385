"""Does the open loop keep its schedule, and are its latencies true?

`python -m benchmarks.open_loop` needs nginx and two idle cores. First 5,000 requests/s against nginx: the
share sent within a millisecond of the schedule, and the CPU that this takes. Then servers whose latencies can
be computed: mean and p99, exact for that very schedule beside measured. The last line is one JSON object.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.parts.nginx import ToolMissingError, serving_nginx
from experiments.base.paths import ROOT
from experiments.load import OpenLoop, run
from tests.support.queueing import Stall, departures
from tests.support.scripted_server import Script, scripted

SEED = 1


@dataclass(frozen=True, slots=True)
class Pace:
    """One run against nginx."""

    throughput_rps: float
    on_time_share: float
    lateness_ms_p50: float
    lateness_ms_p99: float
    lateness_ms_max: float
    cpu_us_per_request: float
    latency_ms_p50: float
    latency_ms_p99: float


@dataclass(frozen=True, slots=True)
class Truth:
    """Latencies of a server of known truth: computed for its schedule, measured, by a clock from the send."""

    server: str
    requests: int
    mean_ms_exact: float
    mean_ms: float
    p99_ms_exact: float
    p99_ms: float
    p99_ms_from_send: float


def keep_pace(url: str, rate: float, arrivals: str, seconds: float, processes: int) -> Pace:
    """One run of experiments.load in a process of its own, valid or not."""
    options: Mapping[str, object] = {
        "--rate": rate,
        "--arrivals": arrivals,
        "--duration": seconds,
        "--processes": processes,
    }
    command = [sys.executable, "-m", "experiments.load", url, "--json"]
    command += [str(part) for option in options.items() for part in option]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if not finished.stdout:
        raise RuntimeError(finished.stderr.strip())
    told: dict[str, Any] = json.loads(finished.stdout)
    open_loop, latency_ms = told["open_loop"], told["latency_ms"]
    return Pace(
        throughput_rps=told["throughput_rps"],
        on_time_share=1 - open_loop["late_share"],
        lateness_ms_p50=open_loop["lateness_ms"]["p50"],
        lateness_ms_p99=open_loop["lateness_ms"]["p99"],
        lateness_ms_max=open_loop["lateness_ms"]["max"],
        cpu_us_per_request=told["cpu_us_per_request"],
        latency_ms_p50=latency_ms["p50"],
        latency_ms_p99=latency_ms["p99"],
    )


def known_truths(seconds: float) -> list[Truth]:
    """M/M/1, M/D/1 and a batch server, 80 % busy; a server that stalls for 1 s in 10, with 4 connections."""
    exponential_s = np.random.default_rng(11).exponential(0.004, 10_000).tolist()
    stalling = OpenLoop(200, max(10.0, seconds), "constant", max_in_flight=4)
    return [
        known_truth("M/M/1", OpenLoop(200, seconds), Script(exponential_s)),
        known_truth("M/D/1", OpenLoop(200, seconds), Script([0.004])),
        known_truth("batches of 8", OpenLoop(600, seconds), Script([0.01], most=8)),
        known_truth("stalls 1 s in 10", stalling, Script([0.002], stall=Stall(10.0, 1.0))),
    ]


def known_truth(server: str, load: OpenLoop, script: Script) -> Truth:
    """Measure a scripted server and compute the same."""
    due_s = load.schedule(SEED)
    exact_ms = (departures(due_s, script.services_s, script.most, script.stall) - due_s) * 1e3
    with scripted(script) as running:
        result = run(running.url, [], load, seed=SEED)
    return Truth(
        server=server,
        requests=result.requests,
        mean_ms_exact=float(exact_ms.mean()),
        mean_ms=float(result.latency_s.mean() * 1e3),
        p99_ms_exact=float(np.percentile(exact_ms, 99)),
        p99_ms=result.latency_ms(99),
        p99_ms_from_send=float(np.percentile(result.end_s - result.start_s, 99) * 1e3),
    )


def print_pace(runs: list[Pace], title: str) -> None:
    table = Table(title=title)
    for heading in (
        "requests/s",
        "on time",
        "late p50 ms",
        "p99 ms",
        "max ms",
        "CPU us each",
        "latency p50 ms",
    ):
        table.add_column(heading, justify="right")
    for each in runs:
        table.add_row(
            f"{each.throughput_rps:,.0f}",
            f"{each.on_time_share:.2%}",
            f"{each.lateness_ms_p50:.3f}",
            f"{each.lateness_ms_p99:.3f}",
            f"{each.lateness_ms_max:.1f}",
            f"{each.cpu_us_per_request:.1f}",
            f"{each.latency_ms_p50:.3f}",
        )
    Console().print(table)


def print_truths(truths: list[Truth]) -> None:
    table = Table(title="servers of known truth, ms")
    table.add_column("server")
    for heading in ("requests", "mean exact", "measured", "p99 exact", "measured", "p99 from the send"):
        table.add_column(heading, justify="right")
    for each in truths:
        figures = (each.mean_ms_exact, each.mean_ms, each.p99_ms_exact, each.p99_ms, each.p99_ms_from_send)
        table.add_row(each.server, f"{each.requests:,}", *(f"{figure:,.2f}" for figure in figures))
    Console().print(table)


def main(
    rate: Annotated[float, typer.Option(help="Requests a second against nginx.")] = 5000,
    arrivals: Annotated[str, typer.Option(help="'constant' or 'poisson'.")] = "constant",
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Runs against nginx.")] = 5,
    processes: Annotated[int, typer.Option(min=1, help="Client processes.")] = 1,
) -> None:
    """Measure how well the open loop keeps its schedule and whether its latencies are true."""
    try:
        with serving_nginx() as nginx:
            runs = [keep_pace(nginx.url, rate, arrivals, seconds, processes) for _ in range(rounds)]
    except (ToolMissingError, RuntimeError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    print_pace(runs, f"{rate:,g} requests/s, {arrivals}, against nginx")
    truths = known_truths(seconds)
    print_truths(truths)
    on_time = statistics.median(each.on_time_share for each in runs)
    told = {
        "on_time_share": on_time,
        "cpu_us_per_request": statistics.median(each.cpu_us_per_request for each in runs),
        "runs": [asdict(each) for each in runs],
        "truths": [asdict(each) for each in truths],
    }
    typer.echo(json.dumps(told))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
