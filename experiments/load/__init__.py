"""The load generator's public face: put a load on a URL, get back what every request experienced.

Here: `run`, and the names that its callers need. Not here: the sending itself (traffic.py, wire.py), what the
answers say (result.py), the program (`__main__.py`), where the inputs come from, what a trial is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

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
from experiments.load.traffic import LoadError, Progress

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
    "Window",
    "check_limits",
    "run",
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
    target = parse_target(url, ca)
    tls_of(target)  # a file that can't be read is told before a client process stumbles over it
    check_limits(*_taken_by(load), processes)
    bodies: Sequence[Body | None] = pool or [None]
    rendered = [render_request(target, body, headers or {}) for body in bodies]
    requests = list(rendered)
    Random(seed).shuffle(requests)
    task = Task(target, requests, load, seed, timeout_s, keep_answers)
    driving = (
        drive(task, progress=progress)
        if processes == 1
        else drive_together(task, processes, progress=progress)
    )
    recording = run_interruptibly(driving)
    answers = by_number(recording.kept, rendered) if recording.kept else None
    return replace(result_of(recording), answers=answers)


def _taken_by(load: Load) -> tuple[int, float]:
    """The connections of a load at most, and about how many requests are scheduled."""
    if isinstance(load, ClosedLoop):
        return load.connections, 0.0
    return load.max_in_flight, load.rate_rps * (load.warm_up_s + load.duration_s)
