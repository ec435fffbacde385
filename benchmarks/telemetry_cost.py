"""What telemetry costs: the sampler's share of a core, beside as many idle processes as a trial has.

`python -m benchmarks.telemetry_cost [--workers N] [--seconds S]`. Where there is a GPU it is sampled too. The
last line is one JSON object; `samples_per_s` below 10 means that the sampler had to slow down to stay cheap.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from experiments.watch.telemetry import sampling
from mps.card import NoGpuError, gpu


def main(
    workers: Annotated[int, typer.Option(help="Worker processes beside it.")] = 8,
    seconds: Annotated[float, typer.Option(help="How long to sample.")] = 10.0,
) -> None:
    uuid = _gpu_uuid()
    with _idle_processes(workers + 1) as (frontend, *pids):
        groups = {"workers": pids, "frontend": [frontend], "load_generator": [os.getpid()]}
        with sampling(groups, uuid) as recorder:
            begin_s = time.monotonic()
            time.sleep(seconds)
            end_s = time.monotonic()
        found = recorder.summary(0, (begin_s, end_s))
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    cost = {
        "sampler_cpu_cores": found.sampler_cpu_cores,
        "samples_per_s": found.samples / seconds,
        "workers": workers,
        "gpu": uuid,
    }
    print(json.dumps(cost))


def _gpu_uuid() -> str | None:
    try:
        return gpu().uuid
    except NoGpuError as error:
        print(f"without a GPU: {error}", file=sys.stderr)
        return None


@contextmanager
def _idle_processes(count: int) -> Iterator[list[int]]:
    started = [subprocess.Popen(["sleep", "infinity"]) for _ in range(count)]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    typer.run(main)
