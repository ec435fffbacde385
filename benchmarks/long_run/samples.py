"""What the frontend and each worker take: memory, descriptors, threads, CPU time, a row each time."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

import psutil

from benchmarks.long_run.served import Served
from experiments.base.errors import ExperimentError

FRONTEND = "frontend"
BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own are


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a time. `who` is the frontend or the model whose worker it is; `rss_bytes` counts shared
    pages whole, `pss_bytes` by their share; `cpu_s` is since its start. `temporary_bytes` is what lies in the
    server's temporary folder, at the frontend alone."""

    at_s: float
    who: str
    pid: int
    rss_bytes: int
    pss_bytes: int
    descriptors: int
    threads: int
    cpu_s: float
    temporary_bytes: int


def sample(served: Served, models: Sequence[str], begun_s: float) -> Iterator[Sample]:
    """A row for each process that is there; a worker that is being replaced is passed over."""
    at_s = round(time.monotonic() - begun_s, 2)
    yield from _of(at_s, FRONTEND, served.process.pid, _bytes_in(served.temporary))
    for model in models:
        with suppress(ExperimentError):  # not registered now
            for pid in served.workers(model):
                yield from _of(at_s, model, pid, 0)


def writer(file: IO[str]) -> csv.DictWriter[str]:
    """Of rows, its header written."""
    rows = csv.DictWriter(file, [each.name for each in fields(Sample)], lineterminator="\n")
    rows.writeheader()
    return rows


def write(rows: csv.DictWriter[str], file: IO[str], samples: Sequence[Sample]) -> None:
    """Adds them, where others can read them at once."""
    rows.writerows(asdict(each) for each in samples)
    file.flush()


def _of(at_s: float, who: str, pid: int, temporary_bytes: int) -> Iterator[Sample]:
    with suppress(psutil.Error, OSError, ValueError):  # the last for -1: it has no process yet
        process = psutil.Process(pid)
        memory, cpu = process.memory_full_info(), process.cpu_times()
        yield Sample(
            at_s,
            who,
            pid,
            memory.rss,
            memory.pss,
            process.num_fds(),
            process.num_threads(),
            round(cpu.user + cpu.system, 2),
            temporary_bytes,
        )


def _bytes_in(folder: Path) -> int:
    """On the disk; files that vanish meanwhile are none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(path, name).lstat().st_blocks * BLOCK_BYTES
    return total
