"""Is our load generator fast and thrifty enough? The same load from it and from wrk, in turns.

`python -m benchmarks.load_generator` needs wrk, nginx and two idle cores. The last line is one JSON object.
`compare` takes any URL, with headers and a body, so other servers can be compared the same way.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.parts import interleaved
from benchmarks.parts.interleaved import BenchmarkError, Effort, Tell, take_turns
from benchmarks.parts.nginx import ToolMissingError, serving_nginx, tool
from benchmarks.parts.noop import serving_noop
from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.load import Body

CONNECTIONS = 64
SERVERS = {"nginx": "nginx", "noop": "a no-op model under TorchServe"}
_SCRIPT = Path(__file__).parent / "parts" / "wrk.lua"


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of a generator, or the median of several."""

    throughput_rps: float
    cpu_us_per_request: float
    latency_ms_p50: float
    latency_ms_p99: float


@dataclass(frozen=True, slots=True)
class Load:
    """The closed loop that both generators put on the server."""

    url: str
    connections: int
    duration_s: int
    headers: Mapping[str, str]
    body_file: Path | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs of both generators in the order of measurement."""

    wrk: list[Figures]
    ours: list[Figures]

    @property
    def throughput_ratio(self) -> float:
        """Our throughput as a share of wrk's: the median over rounds of two neighbouring runs.

        Other work on the machine then shifts single rounds, not the one generator against the other.
        """
        pairs = zip(self.ours, self.wrk, strict=True)
        return statistics.median(ours.throughput_rps / wrk.throughput_rps for ours, wrk in pairs)


def compare(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Body | None = None,
    connections: int = 64,
    duration_s: int = 5,
    rounds: int = 5,
) -> Comparison:
    """Load `url` with wrk, ours, ours, wrk, wrk ...: `rounds` runs of `duration_s` whole seconds each.

    GETs, or POSTs of `body`. Raises BenchmarkError when an answer was an error, ToolMissingError without wrk.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = None
        if body is not None:
            file = Path(folder) / "body"
            file.write_bytes(body.data)
        content_type = "" if body is None else body.content_type
        load = Load(url, connections, duration_s, headers or {}, file, content_type)
        runs = take_turns({"wrk": partial(run_wrk, load), "ours": partial(run_ours, load)}, rounds)
    return Comparison(**runs)


def run_wrk(load: Load) -> Figures:
    """One run of wrk with a single thread."""
    headers = dict(load.headers)
    if load.body_file:
        headers = {"Content-Type": load.content_type} | headers
    command = [tool("wrk"), "-t1", f"-c{load.connections}", f"-d{load.duration_s}s", "-s", str(_SCRIPT)]
    command += [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command += [load.url] + (["--", str(load.body_file)] if load.body_file else [])
    cpu_before_s = _children_cpu_s()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu_s = _children_cpu_s() - cpu_before_s
    if finished.returncode or not finished.stdout.strip():
        raise BenchmarkError(f"wrk failed on {load.url}: {finished.stderr.strip()}")
    summary = json.loads(finished.stdout.splitlines()[-1])
    if summary["errors"] or not summary["requests"]:
        counts = f"{summary['errors']} errors in {summary['requests']} answers"
        raise BenchmarkError(f"wrk saw {counts} of {load.url}: look at the server's log")
    return Figures(
        throughput_rps=summary["requests"] * 1e6 / summary["duration_us"],
        cpu_us_per_request=cpu_s * 1e6 / summary["requests"],
        latency_ms_p50=summary["p50_us"] / 1e3,
        latency_ms_p99=summary["p99_us"] / 1e3,
    )


def run_ours(load: Load) -> Figures:
    """One run of experiments.load, in a process of its own as wrk is."""
    command = [sys.executable, "-m", "experiments.load", load.url, "--json", "--warm-up", "0.5"]
    command += ["--connections", str(load.connections), "--duration", str(load.duration_s)]
    command += [part for name, value in load.headers.items() for part in ("--header", f"{name}: {value}")]
    if load.body_file:
        command += ["--body", str(load.body_file), "--content-type", load.content_type]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if finished.returncode:
        raise BenchmarkError(f"our run on {load.url} failed: {finished.stderr.strip()}")
    summary = json.loads(finished.stdout)
    return Figures(
        throughput_rps=summary["throughput_rps"],
        cpu_us_per_request=summary["cpu_us_per_request"],
        latency_ms_p50=summary["latency_ms"]["p50"],
        latency_ms_p99=summary["latency_ms"]["p99"],
    )


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def median(runs: list[Figures]) -> Figures:
    """The median of each figure by itself."""
    return Figures(*(statistics.median(column) for column in zip(*map(_values, runs), strict=True)))


def _values(figures: Figures) -> list[float]:
    return list(asdict(figures).values())


def print_comparison(server: str, comparison: Comparison) -> None:
    """A table of the medians with the range of throughput."""
    table = Table(title=f"against {server}, medians of {len(comparison.ours)} runs")
    table.add_column("generator")
    for heading in ("requests/s", "min", "max", "CPU us each", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for name, runs in (("wrk -t1", comparison.wrk), ("ours", comparison.ours)):
        middle = median(runs)
        throughputs = [run.throughput_rps for run in runs]
        table.add_row(
            name,
            f"{middle.throughput_rps:,.0f}",
            f"{min(throughputs):,.0f}",
            f"{max(throughputs):,.0f}",
            f"{middle.cpu_us_per_request:.1f}",
            f"{middle.latency_ms_p50:.3f}",
            f"{middle.latency_ms_p99:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(f"ours / wrk: {comparison.throughput_ratio:.1%} of the throughput")


def as_json(comparison: Comparison) -> dict[str, object]:
    """The medians, the ratio and every run, for machines."""
    return {
        "throughput_ratio": comparison.throughput_ratio,
        "wrk": asdict(median(comparison.wrk)),
        "ours": asdict(median(comparison.ours)),
        "runs": {
            "wrk": [asdict(run) for run in comparison.wrk],
            "ours": [asdict(run) for run in comparison.ours],
        },
    }


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, interleaved.Comparison]:
    """Ours against wrk on nginx and on a no-op model. `folder` isn't needed. Raises ToolMissingError."""
    tell("load_generator_over_wrk: our load generator against wrk -t1")
    seconds = max(1, round(effort.duration_s))
    found = {}
    for name, comparison in _on_both_servers(CONNECTIONS, seconds, effort.rounds):
        rates = [[run.throughput_rps for run in runs] for runs in (comparison.ours, comparison.wrk)]
        key = f"load_generator_over_wrk_{name}"
        found[key] = interleaved.Comparison(*rates)
        tell(f"{key}: {found[key]}")
    return found


def _on_both_servers(connections: int, duration_s: int, rounds: int) -> Iterator[tuple[str, Comparison]]:
    tool("wrk")
    with serving_nginx() as nginx:
        yield "nginx", compare(nginx.url, connections=connections, duration_s=duration_s, rounds=rounds)
    with serving_noop() as server:
        yield (
            "noop",
            compare(
                server.predict_url,
                headers=server.headers,
                body=Body(b"hello", "text/plain"),
                connections=connections,
                duration_s=duration_s,
                rounds=rounds,
            ),
        )


def main(
    connections: Annotated[int, typer.Option(min=1, help="Requests in flight at any time.")] = CONNECTIONS,
    duration: Annotated[int, typer.Option(min=1, help="Whole seconds of each run.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each generator.")] = 5,
) -> None:
    """Compare our load generator with `wrk -t1`, against nginx and against a no-op model under TorchServe."""
    found = {}
    try:
        for name, comparison in _on_both_servers(connections, duration, rounds):
            print_comparison(SERVERS[name], comparison)
            found[name] = as_json(comparison)
    except (ToolMissingError, RuntimeError, ExperimentError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(found))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
