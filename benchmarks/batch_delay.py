"""What max_batch_delay costs: the latency of a client alone, and throughput below and with a full queue.

`python -m benchmarks.batch_delay`: a handler that does nothing, one worker, batch 8. TorchServe sends a batch
off when it is full or when its first request has waited for the delay. A lone client waits all of it in vain;
where the queue is full no request waits for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from benchmarks.parts.interleaved import BenchmarkError
from benchmarks.parts.served import SETTLING_S
from benchmarks.settings import BATCH_SIZE, POOL
from experiments.load import ClosedLoop, LoadResult, run
from experiments.serving.noop import noop_archive
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve

DELAYS_MS = (1, 10, 50, 100)  # ours is 10; 100 is what TorchServe has where nothing is said


@dataclass(frozen=True, slots=True)
class Row:
    """What a delay of `delay_ms` does: median latency of one request at a time, requests/s of many."""

    delay_ms: int
    alone_p50_ms: float
    half_full_rps: float
    full_rps: float


def measure(seconds: float) -> Iterator[Row]:
    """A row for each of DELAYS_MS. Raises BenchmarkError when a request failed."""
    with tempfile.TemporaryDirectory() as folder, torchserve() as server:
        archive = noop_archive(Path(folder))
        server.register(Registration(archive, 1, BATCH_SIZE))
        _load(server, 4 * BATCH_SIZE, SETTLING_S)
        server.unregister()
        for delay_ms in DELAYS_MS:
            server.register(Registration(archive, 1, BATCH_SIZE, batch_delay_ms=delay_ms))
            alone, half, full = (_load(server, n, seconds) for n in (1, BATCH_SIZE // 2, 4 * BATCH_SIZE))
            yield Row(delay_ms, alone.latency_ms(50), half.throughput_rps, full.throughput_rps)
            server.unregister()


def _load(server: TorchServe, connections: int, seconds: float) -> LoadResult:
    traffic = ClosedLoop(connections, duration_s=seconds, warm_up_s=seconds / 2)
    found = run(server.predict_url, POOL, traffic, headers=server.headers)
    if problems := found.problems():
        raise BenchmarkError("; ".join(problems), details=server.log_since(0))
    return found


def main(seconds: float = 2.0) -> None:
    """Print the table in Markdown."""
    typer.echo(
        "| delay, ms | one request at a time, p50 ms | half a batch, requests/s | full queue, requests/s |"
    )
    typer.echo("|---:|---:|---:|---:|")
    for row in measure(seconds):
        typer.echo(
            f"| {row.delay_ms} | {row.alone_p50_ms:.1f} | {row.half_full_rps:,.0f} | {row.full_rps:,.0f} |"
        )


if __name__ == "__main__":
    typer.run(main)
