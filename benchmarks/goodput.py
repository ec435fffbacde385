"""How far is the highest rate that keeps a bound found, how long does that take, and was that told before?

`python -m benchmarks.goodput` searches on simulated servers (batches, one or two workers, Poisson arrivals)
whose limit a long simulation tells: no figure of it is of a real server. Other ways to fit the limit are
given the same looks. `--live` searches on a real one instead, the embeddings archive behind TorchServe, and
holds what is found against long looks around it; that needs an idle machine. The last line is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.parts import models
from benchmarks.parts.goodput_fits import FITS
from benchmarks.parts.interleaved import Effort
from benchmarks.parts.served import Setup, host, settle
from experiments.base.paths import ROOT
from experiments.load import LoadResult, run
from experiments.load.clients import Load
from experiments.load.goodput import Goodput, find
from experiments.load.goodput.limit import Expected, Limit, fitted
from experiments.load.goodput.looks import Looks
from experiments.load.goodput.others import Others
from experiments.plan import Slo, parse_slo, search_takes_s
from mps.door import one_line_errors
from tests.support.simulated_server import BatchServer, Simulated

SERVERS = (
    BatchServer(workers=1, most=8, base_s=0.012, each_s=0.0085, jitter=0.1),
    BatchServer(workers=2, most=8, base_s=0.020, each_s=0.0095, jitter=0.2),
    BatchServer(workers=1, most=8, base_s=0.010, each_s=0.0028, jitter=0.2),
    BatchServer(workers=2, most=8, base_s=0.012, each_s=0.0022, jitter=0.3),
    BatchServer(workers=1, most=8, base_s=0.006, each_s=0.0006, jitter=0.1),
    BatchServer(workers=2, most=8, base_s=0.006, each_s=0.0011, jitter=0.2),
)
SEEDS_APART = 1000
TOKENS = 32
AROUND = (0.92, 0.96, 1.0, 1.04, 1.0, 0.98)  # of what was found: where long looks are taken
LONG_LOOK_S = 40.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=1, help="Searches on each simulated server.")] = 200,
    slo: Annotated[str, typer.Option(help="The bound.")] = "p99=100ms",
    live: Annotated[
        bool, typer.Option("--live", help="On a real server, which needs an idle machine.")
    ] = False,
    searches: Annotated[int, typer.Option(min=1, help="With --live: how many.")] = 5,
    archive: Annotated[Path, typer.Option(help="With --live: what is served.")] = ROOT
    / "model_store"
    / "embeddings.mar",
) -> None:
    """Searches for a rate whose truth is known, again and again; the last line is one JSON object."""
    with one_line_errors():
        bound = parse_slo(slo)
        found = measured(archive, bound, searches) if live else simulated(bound, seeds)
    Console(width=140).print(table(found, bound, "measured" if live else "simulated"))
    typer.echo(json.dumps(marks(found)))


@dataclass(frozen=True, slots=True)
class Searched:
    """Searches on one server: what each found, in how many seconds, beside what is true."""

    name: str
    truth_rps: float
    found: Sequence[Goodput]
    took_s: Sequence[float]

    @property
    def errors(self) -> list[float]:
        """Each as a share of the truth."""
        return [abs(each.rate_rps / self.truth_rps - 1) for each in self.found]

    def errors_of(self, fit: Callable[[Goodput], float]) -> list[float]:
        """Those of another way to fit the limit, through the same looks."""
        return [abs(fit(each) / self.truth_rps - 1) for each in self.found]

    @property
    def told_off(self) -> list[float]:
        """How far the time told before is from what each took, as a share of that."""
        return [abs(search_takes_s() / took_s - 1) for took_s in self.took_s]

    @property
    def inside(self) -> float:
        """How often the truth was between the ends of which the search was 95 % sure."""
        return float(np.mean([_between(each, self.truth_rps) for each in self.found]))


def _between(found: Goodput, truth_rps: float) -> bool:
    return (found.surely_rps or 0.0) <= truth_rps <= (found.surely_not_rps or float("inf"))


def marks(all_of_them: Sequence[Searched]) -> dict[str, float]:
    """Of all searches together."""
    errors = [error for each in all_of_them for error in each.errors]
    took_s = [seconds for each in all_of_them for seconds in each.took_s]
    told = {
        "median_error": median(errors),
        "p90_error": float(np.percentile(errors, 90)),
        "median_s": median(took_s),
        "longest_s": max(took_s),
        "time_told_off_median": median([off for each in all_of_them for off in each.told_off]),
    }
    return {name: float(f"{value:.4g}") for name, value in told.items()}


def table(all_of_them: Sequence[Searched], slo: Slo, how: str) -> Table:
    """A row for each server; errors in % of the truth."""
    shown = Table(title=f"the highest rate that keeps {slo}, {how}: errors in % of the truth")
    shown.add_column("server")
    for heading in (
        "truth/s",
        "error p50",
        "p90",
        "took p50 s",
        "longest s",
        "told off %",
        "inside %",
        *FITS,
    ):
        shown.add_column(heading, justify="right")
    for each in all_of_them:
        shown.add_row(
            each.name,
            f"{each.truth_rps:.4g}",
            f"{100 * median(each.errors):.1f}",
            f"{100 * np.percentile(each.errors, 90):.1f}",
            f"{median(each.took_s):.0f}",
            f"{max(each.took_s):.0f}",
            f"{100 * median(each.told_off):.0f}",
            f"{100 * each.inside:.0f}",
            *(f"{100 * median(each.errors_of(fit)):.1f}" for fit in FITS.values()),
        )
    return shown


# Simulated.


def simulated(slo: Slo, seeds: int) -> list[Searched]:
    """Every server searched once with each seed."""
    return [_simulated(server, slo, seeds) for server in SERVERS]


def _simulated(server: BatchServer, slo: Slo, seeds: int) -> Searched:
    found, took_s = [], []
    for seed in range(1, seeds + 1):
        one = Simulated(server, offset=SEEDS_APART * seed)
        found.append(find(one.send, slo, clock=one.clock))
        took_s.append(one.now_s)
    batch_ms = [1e3 * (server.base_s + server.each_s * size) for size in (1, server.most)]
    name = f"{server.workers} x {server.most}, {batch_ms[0]:.0f} to {batch_ms[1]:.0f} ms"
    typer.echo(f"{name}: {seeds} searches", err=True)
    return Searched(name, server.truth_rps(slo), found, took_s)


# Measured.


def measured(archive: Path, slo: Slo, searches: int) -> list[Searched]:
    """One real server searched several times, then looked at for long around what was found. Raises
    BenchmarkError where it doesn't answer."""
    setup = Setup(archive, workers=1, batch_size=8)
    pool = models.texts(archive, TOKENS)
    with host() as hosted:
        server = hosted.serve(setup)
        settle(server, setup, pool, Effort(1, 5.0))

        others = Others.than_of(server.predict_url)

        def send(load: Load, seed: int) -> LoadResult:
            with others.counted():
                return run(server.predict_url, pool, load, headers=server.headers, seed=seed)

        found, took_s = [], []
        for number in range(searches):
            begin_s = perf_counter()
            found.append(find(send, slo, seed=SEEDS_APART * number, note=_tell, disturbed=others.told))
            took_s.append(perf_counter() - begin_s)
            typer.echo(f"{found[-1].explain()}; {took_s[-1]:.1f} s", err=True)
        middle_rps = median(each.rate_rps for each in found)
        truth = _looked_at_for_long(send, slo, middle_rps, others)
    typer.echo(f"long looks: {truth.least_rps:.4g} to {truth.most_rps:.4g} requests/s", err=True)
    return [Searched(f"{setup}", truth.rate_rps, found, took_s)]


def _looked_at_for_long(
    send: Callable[[Load, int], LoadResult], slo: Slo, middle_rps: float, others: Others
) -> Limit:
    looks = Looks(send, slo, "poisson", 512, LONG_LOOK_S, count(10**6), others.told)
    seen = []
    for factor in AROUND:
        probe = looks.at(middle_rps * factor, LONG_LOOK_S)
        _tell(probe)
        seen.append((probe.rate_rps, probe.found))
    return fitted(slo, seen, Expected(middle_rps, 0.25), 0.95)


def _tell(what: object) -> None:
    typer.echo(str(what), err=True)


if __name__ == "__main__":
    app()
