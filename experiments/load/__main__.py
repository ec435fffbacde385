"""`python -m experiments.load`: a load from the command line, its figures and errors in words or JSON."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import INTERRUPTED, ExperimentError
from experiments.base.shown import never_fail_to_print
from experiments.load import DEFAULT_TIMEOUT_S, Body, ClosedLoop, Load, LoadResult, OpenLoop, run, styled
from experiments.load.goodput import Goodput, Send, find
from experiments.load.goodput import as_json as goodput_as_json
from experiments.load.goodput.others import Others
from experiments.load.goodput.search import check
from experiments.load.shown import show
from experiments.plan import parse_slo, search_takes_s
from experiments.plan.defaults import LONGEST_LOOK_S, MOST_IN_FLIGHT

DEFAULT_CONNECTIONS = 64
DEFAULT_DURATION_S = 5.0

_NO_REQUESTS = "at a rate the time tells the number of requests: give --duration, not --requests"

# One paragraph is one line: the terminal's width breaks it.
_HELP = (
    "Load a URL over keep-alive connections and report throughput and latency."
    "\n\nEach connection sends its next request when its last one is answered (a closed loop). "
    "With --rate requests are sent when they are due, however long the answers take (an open loop), "
    "and latency counts from when a request was due, waiting for a free connection included. "
    "Without --body the requests are GETs, with it POSTs of that file. "
    "Any answer that is not 2xx, any lost connection and a generator that came late to its own schedule "
    "make the measurement invalid: "
    "it is printed, its reasons follow on stderr, and the exit code is 1. Wrong usage exits with 2."
    "\n\nExamples:"
    "\n\n  python -m experiments.load http://127.0.0.1:8000/"
    "\n\n  python -m experiments.load http://127.0.0.1:8000/ --rate 200 --duration 30"
    "\n\n  python -m experiments.load http://127.0.0.1:8000/ --slo p99=100ms"
    "\n\n  python -m experiments.load http://127.0.0.1:8080/predictions/bert \\"
    "\n      --connections 8 --duration 10 --warm-up 2 --json \\"
    "\n      --body text.json --content-type application/json \\"
    "\n      --header 'Authorization: Bearer TOKEN'"
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=_HELP)
def main(
    url: Annotated[str, typer.Argument(help="http://host:port/path or https://...", show_default=False)],
    connections: Annotated[
        int | None,
        typer.Option(help="Requests in flight: always so many (64), with --rate so many at most (512)."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second to send: an open loop.")] = None,
    slo: Annotated[
        str | None,
        typer.Option(
            help="Such as p99=100ms: find the highest rate that keeps it; --rate is where you expect it."
        ),
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="How they arrive: 'poisson', as from many users, or 'constant'.")
    ] = "poisson",
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds to measure (5 without --requests), with --slo in one look at most (30)."),
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Answers to measure, instead of seconds.")] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds of the same load before, not counted.")] = 1.0,
    body: Annotated[Path | None, typer.Option(help="File to POST; the requests are GETs without it.")] = None,
    content_type: Annotated[str, typer.Option(help="Media type of the body.")] = "application/octet-stream",
    input_as: Annotated[
        str, typer.Option(help="How the file is sent: as the 'body', as 'data' of a 'form', or in 'json'.")
    ] = "body",
    header: Annotated[list[str] | None, typer.Option(help="'Name: value'; may be repeated.")] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds until a request counts as lost.")
    ] = DEFAULT_TIMEOUT_S,
    ca: Annotated[
        Path | None, typer.Option(help="For https: a file of certificates to trust, not the system's.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Client processes that share the load.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    with _told_in_one_line():
        pool = [] if body is None else [styled(Body(body.read_bytes(), content_type, body.name), input_as)]
        headers = dict(_split_header(text) for text in header or [])
        others = Others.than_of(url)

        def send(load: Load, seed: int) -> LoadResult:
            with nullcontext() if slo is None else others.counted():
                return run(
                    url,
                    pool,
                    load,
                    headers=headers,
                    seed=seed,
                    processes=processes,
                    timeout_s=timeout,
                    ca=None if ca is None else str(ca),
                )

        if slo is None:
            load = _load(rate, arrivals, connections, duration, requests, warm_up)
            result = send(load, seed)
            show(result, load, as_json)
            problems = result.problems()
        else:
            if requests is not None:
                raise ValueError(_NO_REQUESTS)
            goodput = _find(send, slo, rate, arrivals, connections, duration, seed, others)
            typer.echo(json.dumps(goodput_as_json(goodput)) if as_json else goodput.explain())
            problems = goodput.problems()
    if problems:
        raise _exit(1, "invalid: " + "; ".join(problems))


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Ends the program with the message and the exit code of what goes wrong inside; SIGTERM is as Ctrl-C."""
    never_fail_to_print()
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (ValueError, OSError) as error:
        raise _exit(2, str(error)) from error
    except ExperimentError as error:
        raise _exit(error.exit_code, str(error)) from error
    except KeyboardInterrupt:
        raise _exit(INTERRUPTED, "interrupted: nothing was measured") from None


def _exit(code: int, message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(code)


def _load(
    rate: float | None,
    arrivals: str,
    connections: int | None,
    duration: float | None,
    requests: int | None,
    warm_up: float,
) -> Load:
    """The load that the options ask for. Raises ValueError where they make none."""
    if duration is None and requests is None:
        duration = DEFAULT_DURATION_S
    if rate is None:
        at_once = DEFAULT_CONNECTIONS if connections is None else connections
        return ClosedLoop(at_once, duration_s=duration, requests=requests, warm_up_s=warm_up)
    if requests is not None or duration is None:
        raise ValueError(_NO_REQUESTS)
    at_most = MOST_IN_FLIGHT if connections is None else connections
    return OpenLoop(rate, duration, arrivals, warm_up, at_most)


def _find(
    send: Send,
    slo: str,
    start: float | None,
    arrivals: str,
    connections: int | None,
    duration: float | None,
    seed: int,
    others: Others,
) -> Goodput:
    """Searches for the highest rate and tells on stderr how long that takes, and what each look gave."""
    bound, longest_s = parse_slo(slo), LONGEST_LOOK_S if duration is None else duration
    check(start)
    told = f"searching the highest rate that keeps {bound}, about {search_takes_s(longest_s):.0f} s"
    typer.echo(told, err=True)
    return find(
        send,
        bound,
        start_rps=start,
        arrivals=arrivals,
        max_in_flight=MOST_IN_FLIGHT if connections is None else connections,
        longest_s=longest_s,
        seed=seed,
        note=lambda probe: typer.echo(str(probe), err=True),
        disturbed=others.told,
    )


def _split_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a header: write 'Name: value'")
    return name.strip(), value.strip()


if __name__ == "__main__":
    app()
