"""The load generator's public face: put a load on a URL, get back what every request experienced.

Here: `run`, the result with its figures and its own verdict, and the program `python -m experiments.load`.
Not here: the sending itself (traffic.py, wire.py), where the inputs come from, what a trial is.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Annotated, Any

import numpy as np
import typer
import uvloop
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.traffic import ClosedLoop, LoadError, Progress, Recording, drive
from experiments.wire import Body, parse_target, render_request

__all__ = ["Body", "ClosedLoop", "LoadError", "LoadResult", "Window", "run", "snap_window"]

DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Window:
    """The measured time, in seconds of the clock of the answers, and the answers `[first:stop]` inside it."""

    begin_s: float
    end_s: float
    first: int
    stop: int


def snap_window(ends_s: NDArray[np.float64], first_send_s: float, opens_s: float, closes_s: float) -> Window:
    """Move the edges of a measurement to answers, so that a server answering in batches is measured fairly.

    `ends_s` are the times of all answers, ascending. The window begins with the last answer up to `opens_s`
    (with `first_send_s` if there is none) and ends with the last one up to `closes_s`; the one that it begins
    with is not inside. Cut at arbitrary moments instead, a window of ten batches is off by up to a tenth.
    """
    first, stop = (int(index) for index in np.searchsorted(ends_s, [opens_s, closes_s], side="right"))
    begin_s = float(ends_s[first - 1]) if first else first_send_s
    if stop <= first:
        return Window(begin_s, begin_s, first, first)
    return Window(begin_s, float(ends_s[stop - 1]), first, stop)


@dataclass(frozen=True, slots=True, eq=False)
class LoadResult:
    """What a load found. The arrays hold one element a request answered inside the measured window.

    `start_s` and `end_s` (float64) are seconds from the window's begin: a request that was already under way
    then has a negative start; `begin_s` is that begin on the clock of `time.monotonic`. `status` is int16.
    `statuses` counts every answer, warm-up and drain included, so that no error hides there. `client_cpu_s`
    is what the generator itself used during the window.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.int16]
    begin_s: float
    window_s: float
    statuses: dict[int, int]
    lost_connections: int
    first_error: str | None
    client_cpu_s: float

    @property
    def requests(self) -> int:
        """Requests answered inside the window."""
        return len(self.end_s)

    @property
    def throughput_rps(self) -> float:
        """Answers a second; 0 when there was none."""
        return self.requests / self.window_s if self.window_s > 0 else 0.0

    @property
    def cpu_us_per_request(self) -> float:
        """CPU time of the generator for one request; NaN when none was answered."""
        return self.client_cpu_s * 1e6 / self.requests if self.requests else float("nan")

    def latency_ms(self, percentile: float) -> float:
        """The latency that `percentile` (0 to 100) of the requests don't exceed; NaN when there was none.

        Between two samples it is interpolated linearly, as numpy and pandas do.
        """
        if not self.requests:
            return float("nan")
        return float(np.percentile(self.end_s - self.start_s, percentile) * 1e3)

    def problems(self) -> list[str]:
        """Why a trial with this load is no result; empty when it is one."""
        found = []
        total = sum(self.statuses.values())
        failures = sum(count for status, count in self.statuses.items() if not 200 <= status < 300)
        if failures:
            by_status = ", ".join(f"{count} x {status}" for status, count in self.statuses.items())
            found.append(f"{failures} of {total} answers were no success ({by_status})")
        if self.lost_connections:
            found.append(f"{self.lost_connections} connections were lost")
        if found:
            found[-1] += f"; first: {self.first_error}"
        if not self.requests:
            found.append("no request was answered inside the measured window: measure longer")
        return found


def run(
    url: str,
    pool: Sequence[Body],
    load: ClosedLoop,
    *,
    headers: Mapping[str, str] | None = None,
    seed: int = 0,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    progress: Progress | None = None,
) -> LoadResult:
    """Put `load` on `url` and return what came back; the server is idle again when this returns.

    The bodies of `pool` are POSTed in a fixed order drawn with `seed`, again and again; an empty pool sends
    GETs. A request without an answer after `timeout_s` counts as a lost connection. A load that goes wrong
    all along stops early; its result says so in `problems()`.

    Raises ValueError for a URL, header or timeout that makes no request, LoadError when the server cannot be
    reached. In the main thread, SIGINT and every signal with a Python handler first stop the load and close
    its sockets; then the handler runs.
    """
    if not timeout_s > 0:
        raise ValueError(f"a timeout of {timeout_s} s loses every request: give more than 0")
    target = parse_target(url)
    bodies: Sequence[Body | None] = pool or [None]
    requests = [render_request(target, body, headers or {}) for body in bodies]
    Random(seed).shuffle(requests)
    return _result(_run_interruptibly(drive(target, requests, load, timeout_s=timeout_s, progress=progress)))


def _result(recording: Recording) -> LoadResult:
    starts_s = np.array(recording.starts_s, dtype=np.float64)
    ends_s = np.array(recording.ends_s, dtype=np.float64)
    statuses = np.array(recording.statuses, dtype=np.int16)
    window = snap_window(ends_s, recording.first_send_s, recording.opens_s, recording.closes_s)
    inside = slice(window.first, window.stop)
    codes, counts = np.unique(statuses, return_counts=True)
    return LoadResult(
        start_s=starts_s[inside] - window.begin_s,
        end_s=ends_s[inside] - window.begin_s,
        status=statuses[inside],
        begin_s=window.begin_s,
        window_s=window.end_s - window.begin_s,
        statuses={int(code): int(count) for code, count in zip(codes, counts, strict=True)},
        lost_connections=recording.lost_connections,
        first_error=recording.first_error,
        client_cpu_s=recording.cpu_s,
    )


# Signals. A handler that raises inside a callback of the event loop would be swallowed there, and sockets
# would stay open: so signals only cancel the load, and the handlers run after it has cleaned up.


def _run_interruptibly(main: Coroutine[Any, Any, Recording]) -> Recording:
    received: list[int] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()

        def cancel_all() -> None:
            for task in asyncio.all_tasks(loop):
                task.cancel()

        def note(number: int, frame: FrameType | None) -> None:
            received.append(number)
            loop.call_soon_threadsafe(cancel_all)

        with _handlers_replaced(note), suppress(asyncio.CancelledError):
            recording = runner.run(main)
    for number in received:
        handler = signal.getsignal(number)
        assert callable(handler)
        handler(number, None)
    if received:
        raise KeyboardInterrupt
    return recording


@contextmanager
def _handlers_replaced(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give SIGINT and SIGTERM to `handler` where Python code handles them now (main thread only)."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {number: old for number, old in before.items() if callable(old)}
    for number in replaced:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)


# The program.

# One paragraph is one line: the terminal's width breaks it.
_HELP = (
    "Load a URL over keep-alive connections and report throughput and latency."
    "\n\nEach connection sends its next request when its last one is answered (a closed loop). "
    "Without --body the requests are GETs, with it POSTs of that file. "
    "Any answer that is not 2xx and any lost connection make the measurement invalid: "
    "it is printed, its reasons follow on stderr, and the exit code is 1. Wrong usage exits with 2."
    "\n\nExamples:"
    "\n\n  python -m experiments.load http://127.0.0.1:8000/"
    "\n\n  python -m experiments.load http://127.0.0.1:8080/predictions/bert \\"
    "\n      --connections 8 --duration 10 --warm-up 2 --json \\"
    "\n      --body text.json --content-type application/json \\"
    "\n      --header 'Authorization: Bearer TOKEN'"
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=_HELP)
def main(
    url: Annotated[str, typer.Argument(help="http://host:port/path", show_default=False)],
    connections: Annotated[int, typer.Option(help="Requests in flight at any time.")] = 64,
    duration: Annotated[
        float | None, typer.Option(help="Seconds to measure; 5 when --requests isn't given either.")
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Answers to measure, instead of seconds.")] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds of the same load before, not counted.")] = 1.0,
    body: Annotated[Path | None, typer.Option(help="File to POST; the requests are GETs without it.")] = None,
    content_type: Annotated[str, typer.Option(help="Media type of the body.")] = "application/octet-stream",
    header: Annotated[list[str] | None, typer.Option(help="'Name: value'; may be repeated.")] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds until a request counts as lost.")
    ] = DEFAULT_TIMEOUT_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    try:
        if duration is None and requests is None:
            duration = 5.0
        load = ClosedLoop(connections, duration_s=duration, requests=requests, warm_up_s=warm_up)
        pool = [] if body is None else [Body(body.read_bytes(), content_type)]
        headers = dict(_split_header(text) for text in header or [])
        result = run(url, pool, load, headers=headers, timeout_s=timeout)
    except (ValueError, OSError) as error:
        raise _exit(2, str(error)) from error
    except LoadError as error:
        raise _exit(1, str(error)) from error
    except KeyboardInterrupt:
        raise _exit(130, "interrupted: nothing was measured") from None
    if as_json:
        typer.echo(json.dumps(_summary(result, connections)))
    else:
        _print_table(result, connections)
    if problems := result.problems():
        raise _exit(1, "invalid: " + "; ".join(problems))


def _exit(code: int, message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(code)


def _split_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a header: write 'Name: value'")
    return name.strip(), value.strip()


def _summary(result: LoadResult, connections: int) -> dict[str, Any]:
    """The program's JSON object. Figures that don't exist, as nothing was answered, are null."""
    measured = result.requests > 0
    return {
        "throughput_rps": result.throughput_rps,
        "latency_ms": {f"p{p}": result.latency_ms(p) if measured else None for p in (50, 95, 99)},
        "statuses": result.statuses,
        "cpu_us_per_request": result.cpu_us_per_request if measured else None,
        "requests": result.requests,
        "duration_s": result.window_s,
        "connections": connections,
        "lost_connections": result.lost_connections,
        "first_error": result.first_error,
        "valid": not result.problems(),
        "problems": result.problems(),
    }


def _print_table(result: LoadResult, connections: int) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("throughput", f"{result.throughput_rps:,.1f} requests/s")
    for percentile in (50, 95, 99):
        table.add_row(f"latency p{percentile}", f"{result.latency_ms(percentile):,.3f} ms")
    table.add_row("measured", f"{result.requests:,} requests in {result.window_s:.2f} s")
    table.add_row("connections", f"{connections}")
    table.add_row("answers", ", ".join(f"{count:,} x {status}" for status, count in result.statuses.items()))
    table.add_row("generator's CPU", f"{result.cpu_us_per_request:.1f} us a request")
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    app()
