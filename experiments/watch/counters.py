"""What TorchServe and the handlers count while they serve: requests, waiting, batches, where time goes.

TorchServe 0.12.0 exposes, in Prometheus mode, three sums for a model (requests answered, their time from
arrival to answer, the part of it until a worker took them) and gauges of last values. It counts no batches:
handlers that count themselves do it in a tally, a small file that costs a microsecond a batch.

Snapshots around a load give means and shares; its warm-up and drain are in them, so they give no rates.
What follows from them is in diagnosis.py.
"""

import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from experiments.results.counted import Counted
from experiments.serving.torchserve.running import TorchServe

# A worker whose environment has this maps a file <pid>.tally in its temporary folder, which is the server's
# own, and keeps the fields of Tally in it, in their order. On a GPU it writes <pid>.multiprocessors too.
TALLY_VARIABLE = "HANDLER_TALLY"
TALLY = struct.Struct("=5Q")


@dataclass(frozen=True, slots=True)
class Tally:
    """What handlers have counted since they were loaded, of all workers together.

    Of the time in `handle`, `forward_ns` is the forward pass, results on the CPU, and `prepare_ns` what comes
    before it: reading requests, decoding, tokenizing, moving to the device.
    """

    batches: int = 0
    rows: int = 0
    prepare_ns: int = 0
    forward_ns: int = 0
    handle_ns: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(Tally)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counters at one moment of time.monotonic(). `tally` is None where the handler keeps none."""

    at_s: float
    requests: float
    latency_us: float
    queue_us: float
    tally: Tally | None


def snapshot(server: TorchServe) -> Snapshot:
    """The counters now. Asks TorchServe's metrics page: not while a load is measured. Raises ServerError."""
    counted = server.counters()
    return Snapshot(
        at_s=time.monotonic(),
        requests=counted.get("ts_inference_requests_total", 0.0),
        latency_us=counted.get("ts_inference_latency_microseconds", 0.0),
        queue_us=counted.get("ts_queue_latency_microseconds", 0.0),
        tally=read_tallies(server.folder),
    )


def read_tallies(folder: Path) -> Tally | None:
    """The sum over all workers that ever kept a tally in `folder`; None where none did.

    A worker may be in the middle of writing: the sum is then off by a part of one batch.
    """
    found = [file.read_bytes() for file in folder.glob("*.tally")]
    tallies = [Tally(*TALLY.unpack(content)) for content in found if len(content) == TALLY.size]
    return sum(tallies, Tally()) if tallies else None


def read_multiprocessors(folder: Path, workers: Sequence[int]) -> list[int] | None:
    """The multiprocessors that each of the workers sees, in their order: its share of the GPU under MPS. None
    on a CPU, and where a handler does not tell."""
    with suppress(OSError, ValueError):
        return [int((folder / f"{pid}.multiprocessors").read_text("utf-8")) for pid in workers] or None
    return None


def between(before: Snapshot, after: Snapshot) -> Counted | None:
    """What was counted from `before` to `after`; None when no request was answered."""
    requests = after.requests - before.requests
    if requests <= 0:
        return None
    latency_us, queue_us = after.latency_us - before.latency_us, after.queue_us - before.queue_us
    counted = Counted(round(requests), latency_us / requests / 1e3, queue_us / requests / 1e3)
    if after.tally is None:
        return counted
    tally = after.tally - (before.tally or Tally())
    if tally.batches <= 0:
        return counted
    return Counted(
        requests=counted.requests,
        latency_ms=counted.latency_ms,
        queue_ms=counted.queue_ms,
        batch_rows=tally.rows / tally.batches,
        prepare_ms=tally.prepare_ns / tally.batches / 1e6,
        forward_ms=tally.forward_ns / tally.batches / 1e6,
        handle_ms=tally.handle_ns / tally.batches / 1e6,
        handling=tally.handle_ns / 1e9 / (after.at_s - before.at_s),
    )
