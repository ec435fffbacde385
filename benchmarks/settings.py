"""TorchServe's defaults against this project's settings, with a handler that does nothing.

`python -m benchmarks --only settings` compares the two; with `--each` it tells what every choice does alone,
added to the defaults: the README's table. CPU time is told beside throughput: it hardly feels other programs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from benchmarks.parts.interleaved import Comparison, Effort, Tell, compare
from benchmarks.parts.served import NO_GPU, SETTLING_S, Setup, load
from experiments.base.cores import usable_cores
from experiments.load import Body
from experiments.serving.noop import noop_archive
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import JVM_OPTIONS, LOG4J2, SETTINGS, torchserve

BATCH_SIZE = 8
POOL = [Body(b"hello", "text/plain")]

# What TorchServe 0.12.0 does without being told, for the settings in which experiments/serving differs. What
# measuring itself needs is left as it is there: the management API, and tokens that live long enough.
DEFAULT_SETTINGS = {
    "job_queue_size": "100",
    "max_request_size": "6553500",
    "max_response_size": "6553500",
    "metrics_mode": "log",
    "disable_system_metrics": "false",
    "number_of_netty_threads": "0",
    "netty_client_threads": "0",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of a server that differ from TorchServe's defaults."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    jvm_options: Sequence[str] = ()


DEFAULTS = Choice("TorchServe's defaults")
OURS = Choice("this project's settings", SETTINGS, JVM_OPTIONS)
EACH = (
    Choice("log4j2.xml: nothing per request", jvm_options=(f"-Dlog4j.configurationFile={LOG4J2.as_uri()}",)),
    Choice("metrics_mode=prometheus", {"metrics_mode": "prometheus"}),
    Choice("disable_system_metrics=true", {"disable_system_metrics": "true"}),
    Choice("job_queue_size=10000", {"job_queue_size": "10000"}),
    Choice(
        "16 threads in Java's common pool",
        jvm_options=("-Djava.util.concurrent.ForkJoinPool.common.parallelism=16",),
    ),
    Choice("number_of_netty_threads=2", {"number_of_netty_threads": "2"}),
    Choice("netty_client_threads=2", {"netty_client_threads": "2"}),
    # What was tried and not taken:
    Choice("one netty thread of each kind", {"number_of_netty_threads": "1", "netty_client_threads": "1"}),
    Choice("use_native_io=false", {"use_native_io": "false"}),
    Choice("prefer_direct_buffer=true", {"prefer_direct_buffer": "true"}),
    Choice("-XX:G1HeapRegionSize=32m", jvm_options=("-XX:G1HeapRegionSize=32m",)),
    Choice("-XX:+UseParallelGC", jvm_options=("-XX:+UseParallelGC",)),
    Choice("-XX:+UseSerialGC", jvm_options=("-XX:+UseSerialGC",)),
    Choice("-XX:TieredStopAtLevel=1", jvm_options=("-XX:TieredStopAtLevel=1",)),
)


class Running:
    """A server with the handler that does nothing, under load since long enough to be measured."""

    def __init__(self, server: TorchServe, setup: Setup, effort: Effort) -> None:
        self.server, self.setup, self.effort = server, setup, effort
        self.cpu_us_per_request: list[float] = []
        load(server, setup, POOL, 1.0, SETTLING_S)

    def throughput_rps(self) -> float:
        """Requests/s of one run; notes what a request cost the frontend."""
        before_s = self._frontend_cpu_s()
        found = load(self.server, self.setup, POOL, self.effort.duration_s, self.effort.warm_up_s)
        used_s = self._frontend_cpu_s() - before_s
        self.cpu_us_per_request.append(used_s * 1e6 / sum(found.statuses.values()))
        return found.throughput_rps

    def _frontend_cpu_s(self) -> float:
        times = psutil.Process(self.server.process.pid).cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class Row:
    """A choice beside the defaults: throughput, and CPU time of the frontend for a request."""

    choice: Choice
    comparison: Comparison
    cpu_us: float
    default_cpu_us: float


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, Comparison]:
    """Ours against the defaults, by the ratio's name. `folder` isn't needed."""
    tell("settings_over_defaults: a handler that does nothing, batch 8")
    (row,) = against_defaults([OURS], effort, tell)
    return {"settings_over_defaults": row.comparison}


def against_defaults(choices: Sequence[Choice], effort: Effort, tell: Tell) -> Iterator[Row]:
    """Each choice in turns with the defaults."""
    with running(DEFAULTS, effort) as default:
        for choice in choices:
            default.cpu_us_per_request.clear()
            with running(choice, effort) as chosen:
                comparison = compare(chosen.throughput_rps, default.throughput_rps, effort.rounds)
            row = Row(
                choice, comparison, median(chosen.cpu_us_per_request), median(default.cpu_us_per_request)
            )
            tell(
                f"{choice.name}: {comparison}; frontend {row.cpu_us:.0f} us against {row.default_cpu_us:.0f}"
            )
            yield row


@contextmanager
def running(choice: Choice, effort: Effort) -> Iterator[Running]:
    """A server with this choice, and a worker for each core, as TorchServe starts by default."""
    settings = DEFAULT_SETTINGS | dict(choice.settings) | NO_GPU
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(noop_archive(Path(folder)), usable_cores(), BATCH_SIZE)
        with torchserve(settings=settings, jvm_options=choice.jvm_options) as server:
            server.register(Registration(setup.archive, setup.workers, setup.batch_size))
            yield Running(server, setup, effort)


def markdown(rows: Sequence[Row]) -> str:
    """The table of the README."""
    lines = [
        "| added to TorchServe's defaults | requests/s | of the defaults | frontend CPU, us a request |",
        "|---|---:|---:|---:|",
    ]
    for row in rows:
        cpu = f"{row.default_cpu_us:.0f} -> {row.cpu_us:.0f}"
        rps = median(row.comparison.ours_rps)
        lines.append(f"| {row.choice.name} | {rps:,.0f} | {row.comparison.ratio:.2f} | {cpu} |")
    return "\n".join(lines)
