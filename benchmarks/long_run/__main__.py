"""`python -m benchmarks.long_run --hours 2`: a mixed load on the shipped configuration, for hours.

Three models of model_store/ at low constant rates, about a fifth of a core together; one request in a
hundred is malformed; a model comes and goes through the management API; workers are killed now and then. Each
answer is compared with what the model gives without a server (1e-4). Every ten seconds a row for the frontend
and each worker is added to samples.csv; summary.json and memory.png come at the end, and the last line is one
JSON object. Exit codes: 0 all answers right and nothing grows beyond its bound; 1 not so; 130 interrupted,
what there was until then is summed up all the same.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.long_run import disturbances, samples, told, traffic
from benchmarks.long_run.answers import Model, archive_of, model
from benchmarks.long_run.served import Served, served
from experiments.base.errors import INTERRUPTED
from experiments.base.files import write_json
from experiments.base.paths import ROOT
from mps.door import one_line_errors, to_stderr

RATES_RPS = {"bert": 1.0, "resnet50": 1.0, "embeddings": 3.0}
VISITOR_OF = "embeddings"
MALFORMED_SHARE = 0.01
SAMPLES_EVERY_S = 10.0
KILLS_EVERY_S = 600.0
VISITS_EVERY_S = 420.0
RENEWALS_EVERY_S = 2700.0  # tokens last an hour
FEWEST_OF_EACH = 3  # kills, visits and renewals in a short run
TOLD_EVERY_S = 600.0
LONGEST_END_S = 60.0
LAST_LINE = ("wrong_answers", "errors_unexpected", "frontend_growth_percent", "worker_growth_percent")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    hours: Annotated[float, typer.Option(min=0.01, help="How long.")] = 2.0,
    out: Annotated[Path, typer.Option(help="Folder of what is found.")] = ROOT / "results" / "long-run",
    load: Annotated[float, typer.Option(min=0.1, help="Times the usual rates.")] = 1.0,
) -> None:
    """See the module's docstring."""
    with one_line_errors(lambda: "the server is stopped"):
        for name in RATES_RPS:
            archive_of(name)
        out.mkdir(parents=True, exist_ok=True)
        begun_s, console = time.monotonic(), to_stderr()

        def tell(line: str) -> None:
            console.print(f"{(time.monotonic() - begun_s) / 60:5.1f} min: {line}", markup=False)

        tell("the right answers, without a server ...")
        models = [model(name, load * rate_rps) for name, rate_rps in RATES_RPS.items()]
        interrupted = _run(models, 3600.0 * hours, out, tell)
    found = json.loads((out / "summary.json").read_text("utf-8"))
    for line in (*found["first_failures"], *told.problems(found)):
        tell(line)
    typer.echo(json.dumps({name: found[name] for name in LAST_LINE}))
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if told.problems(found):
        raise typer.Exit(1)


def _run(models: Sequence[Model], lasts_s: float, out: Path, tell: Callable[[str], None]) -> bool:
    """The run itself, and its files; whether it was interrupted."""
    tally, done, rows = traffic.Tally(), disturbances.Disturbed(), list[samples.Sample]()
    names = [each.name for each in models]
    kills_every_s = min(KILLS_EVERY_S, lasts_s / FEWEST_OF_EACH)
    interrupted = False
    with served() as server, (out / "samples.csv").open("w", encoding="utf-8") as file:
        tell(f"serving; {lasts_s:.0f} s from now on")
        stop = threading.Event()
        threads = _threads(server, models, lasts_s, kills_every_s, tally, done, stop)
        table, begun_s = samples.writer(file), time.monotonic()
        try:
            for thread in threads:
                thread.start()
            while server.alive and time.monotonic() < begun_s + lasts_s:
                seen = list(samples.sample(server, [*names, disturbances.VISITOR], begun_s))
                samples.write(table, file, seen)
                rows += seen
                _tell_sometimes(rows, tally, tell)
                time.sleep(SAMPLES_EVERY_S)
            if not server.alive:
                tally.fail("the frontend has ended")
        except KeyboardInterrupt:
            interrupted = True
        tell("it has run; the last answers are awaited")
        stop.set()
        end_s = time.monotonic() + LONGEST_END_S
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        # Before the server is stopped: a model that still loads, and who asks it, would count as an error.
        write_json(out / "summary.json", told.summary(rows, names, tally, done, kills_every_s))
    told.draw(rows, names, out / "memory.png")
    return interrupted


def _threads(
    server: Served,
    models: Sequence[Model],
    lasts_s: float,
    kills_every_s: float,
    tally: traffic.Tally,
    done: disturbances.Disturbed,
    stop: threading.Event,
) -> list[threading.Thread]:
    """Who asks, and who disturbs; they end when `stop` is set."""
    killed = traffic.Killed()
    bad_rps = MALFORMED_SHARE * sum(each.rate_rps for each in models)
    visiting = next(each for each in models if each.name == VISITOR_OF)
    visits_s, renewals_s = (
        min(each, lasts_s / FEWEST_OF_EACH) for each in (VISITS_EVERY_S, RENEWALS_EVERY_S)
    )
    jobs: list[Callable[[], None]] = [
        partial(traffic.keep_asking, server, each, tally, killed, stop, seed)
        for seed, each in enumerate(models)
    ]
    jobs += [
        partial(traffic.keep_asking_badly, server, models, bad_rps, tally, killed, stop),
        partial(disturbances.kill_now_and_then, server, models, kills_every_s, killed, done, tally, stop),
        partial(disturbances.come_and_go, server, visiting, visits_s, done, tally, stop),
        partial(disturbances.renew_tokens, server, renewals_s, done, tally, stop),
    ]
    return [threading.Thread(target=each, daemon=True) for each in jobs]


def _tell_sometimes(
    rows: Sequence[samples.Sample], tally: traffic.Tally, tell: Callable[[str], None]
) -> None:
    """A line every ten minutes."""
    at_s = rows[-1].at_s if rows else 0.0
    if at_s % TOLD_EVERY_S < SAMPLES_EVERY_S:
        frontend = [each for each in rows if each.who == samples.FRONTEND]
        tell(
            f"{sum(tally.right.values())} right, {tally.wrong} wrong, "
            f"{tally.unexpected} unexpected errors; frontend {frontend[-1].rss_bytes / 2**20:.0f} MiB"
        )


if __name__ == "__main__":
    app()
