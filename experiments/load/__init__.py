"""The load generator's public face: put a load on a URL, get back what every request experienced.

Here: `run`, `run_together`, and the names that their callers need. Not here: the sending itself (traffic.py,
wire.py), what the answers say (result.py), the program (`__main__.py`), where the inputs come from, what a
trial is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from time import perf_counter

from experiments.load.before.body import Body, styled
from experiments.load.before.limits import LimitError, check_limits
from experiments.load.before.request import render_request
from experiments.load.before.target import parse_target, tls_of
from experiments.load.clients import Load, Task, drive, drive_together
from experiments.load.closed_loop import ClosedLoop
from experiments.load.interruptible import run_interruptibly
from experiments.load.kept import Answers, by_number
from experiments.load.open_loop import OpenLoop
from experiments.load.result import LoadResult, Pacing, Window, result_of, snap_window
from experiments.load.traffic import LoadError, Progress, Recording

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "Answers",
    "Body",
    "ClosedLoop",
    "LimitError",
    "Load",
    "LoadError",
    "LoadResult",
    "OpenLoop",
    "Pacing",
    "Sending",
    "Window",
    "check_limits",
    "run",
    "run_together",
    "snap_window",
    "styled",
]

DEFAULT_TIMEOUT_S = 60.0


def run(
    url: str,
    pool: Sequence[Body],
    load: Load,
    *,
    headers: Mapping[str, str] | None = None,
    seed: int = 0,
    processes: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    progress: Progress | None = None,
    ca: str | None = None,
    keep_answers: bool = False,
) -> LoadResult:
    """Put `load` on `url` and return what came back; the server is idle again when this returns.

    The bodies of `pool` are POSTed in a fixed order drawn with `seed`, again and again; an empty pool sends
    GETs. The arrivals of an open loop are drawn with `seed` too. A request without an answer after
    `timeout_s` counts as a lost connection. A load that goes wrong all along stops early; its result says so
    in `problems()`. Several `processes` share the load where one core is not enough to send it. `ca` names a
    file of certificates to trust instead of the system's, for https. `keep_answers` keeps what was
    answered, for the result's `answers`.

    Raises ValueError for a URL, header, timeout or number of processes that makes no request, LimitError when
    this machine has no room for the load, LoadError when the server cannot be reached. In the main thread,
    SIGINT and every signal with a Python handler first stop the load and close its sockets; then the handler
    runs.
    """
    if not timeout_s > 0:
        raise ValueError(f"a timeout of {timeout_s} s loses every request: give more than 0")
    check_limits(*_taken_by(load), processes)
    rendered, task = _task(url, pool, load, headers or {}, seed, timeout_s, ca, keep_answers)
    driving = (
        drive(task, progress=progress)
        if processes == 1
        else drive_together(task, processes, progress=progress)
    )
    return _with_answers(run_interruptibly(driving), rendered)


@dataclass(frozen=True, slots=True)
class Sending:
    """One of several loads at once: bodies to a URL."""

    url: str
    pool: Sequence[Body]
    load: Load
    headers: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0


def run_together(
    sendings: Sequence[Sending],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    progress: Progress | None = None,
    keep_answers: bool = False,
) -> list[LoadResult]:
    """Several loads that begin at the same instant, from this process; what each of them found.

    Otherwise as `run`; `progress` is told of the first of them.
    """
    check_limits(
        sum(_taken_by(each.load)[0] for each in sendings),
        sum(_taken_by(each.load)[1] for each in sendings),
        1,
    )
    rendered_and_tasks = [
        _task(each.url, each.pool, each.load, each.headers, each.seed, timeout_s, None, keep_answers)
        for each in sendings
    ]
    recordings = run_interruptibly(_all_of([task for _, task in rendered_and_tasks], progress))
    return [
        _with_answers(recording, rendered)
        for recording, (rendered, _) in zip(recordings, rendered_and_tasks, strict=True)
    ]


def _with_answers(recording: Recording, rendered: Sequence[bytes]) -> LoadResult:
    answers = by_number(recording.kept, rendered) if recording.kept else None
    return replace(result_of(recording), answers=answers)


async def _all_of(tasks: Sequence[Task], progress: Progress | None) -> list[Recording]:
    connected = asyncio.Barrier(len(tasks))
    begin_s = 0.0

    async def ready() -> float:
        nonlocal begin_s
        if await connected.wait() == 0:
            begin_s = perf_counter()
        await connected.wait()
        return begin_s

    return await asyncio.gather(
        *(
            drive(task, progress=None if number else progress, ready=ready)
            for number, task in enumerate(tasks)
        )
    )


def _task(
    url: str,
    pool: Sequence[Body],
    load: Load,
    headers: Mapping[str, str],
    seed: int,
    timeout_s: float,
    ca: str | None,
    keep_answers: bool,
) -> tuple[list[bytes], Task]:
    """The requests in the pool's order, and what a client must know, with them in the order of the seed."""
    target = parse_target(url, ca)
    tls_of(target)  # a file that can't be read is told before a client process stumbles over it
    bodies: Sequence[Body | None] = pool or [None]
    rendered = [render_request(target, body, headers) for body in bodies]
    requests = list(rendered)
    Random(seed).shuffle(requests)
    return rendered, Task(target, requests, load, seed, timeout_s, keep_answers)


def _taken_by(load: Load) -> tuple[int, float]:
    """The connections of a load at most, and about how many requests are scheduled."""
    if isinstance(load, ClosedLoop):
        return load.connections, 0.0
    return load.max_in_flight, load.rate_rps * (load.warm_up_s + load.duration_s)
