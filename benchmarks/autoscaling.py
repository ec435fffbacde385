"""What does a fleet cost that follows its demand, and which requests does it miss?

    python -m benchmarks.autoscaling                # simulated, three minutes
    python -m benchmarks.autoscaling --live         # the workers of a TorchServe too, half an hour more
    python -m benchmarks.autoscaling --only day

Thresholds from what was measured, scaling by CPU utilisation, and a fixed fleet for the peak, on a day,
bursts, a ramp with a step, and the gpu-let paper's trace: instance-hours beside the share of requests within
the bound. Thresholds know another seed of the curve (of the trace its first half, of the ramp the ramp
itself); the fixed fleet knows the curve itself.
Live it is a model that sleeps, as a worker does while a GPU works, so that more workers serve more on any
machine; the curves are squeezed into minutes. The last line is one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.parts.scaling import cases, served
from experiments.base.errors import ExperimentError
from experiments.fleet.scaling import Outcome, table, thresholds

console = Console(highlight=False, width=140)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    live: Annotated[bool, typer.Option("--live", help="Also with a TorchServe's workers.")] = False,
    only: Annotated[str | None, typer.Option(help="Simulated cases whose title has this word. [all]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of curves and arrivals.")] = 0,
    shorter: Annotated[float, typer.Option(min=0.01, max=1.0, help="Part of the day that is played.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=20.0, help="Of each curve live.")] = served.LASTS_S,
) -> None:
    """See the module."""
    told: dict[str, Any] = {"seed": seed}
    try:
        told["simulated"] = [_simulated(case, seed) for case in _chosen(seed, shorter, only)]
        if live:
            told["live"] = list(_live(seed, seconds))
    except ExperimentError as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    typer.echo(json.dumps(told))


def _chosen(seed: int, shorter: float, only: str | None) -> Iterator[cases.Case]:
    return (case for case in cases.cases(seed, shorter) if only is None or only in case.title)


def _simulated(case: cases.Case, seed: int) -> dict[str, Any]:
    found = cases.outcomes(case, seed)
    known = thresholds(case.service, case.history)
    console.print(table(f"{case.title}, simulated", found, found[-1]))
    console.print(
        f"capacity {known.capacity_rps:.1f} requests/s an instance, loads for {case.service.loading_s:g} s, "
        f"growth {known.growth:.2f} in {known.lag_s:g} s: one more above {known.up_rps:.1f} requests/s each, "
        f"aiming at {known.target_rps:.1f}, one of {found[0].most} less below "
        f"{known.down_rps(found[0].most):.1f}"
    )
    return {
        "case": case.title,
        "capacity_rps": known.capacity_rps,
        "growth": known.growth,
        "up_rps": known.up_rps,
        "target_rps": known.target_rps,
        "stabilisation_s": known.control.stabilisation_s,
        "outcomes": [_told(outcome) for outcome in found],
    }


def _live(seed: int, seconds: float) -> Iterator[dict[str, Any]]:
    with served.served() as server:
        known, batches = served.calibrated(server, console.print)
        for history, curve in served.curves(seed, seconds):
            pairs = list(served.both(server, known, batches, history, curve, seed, console.print))
            lived, simulated = [found.outcome for found, _ in pairs], [outcome for _, outcome in pairs]
            console.print(table(f"{curve.name}, live", lived, lived[-1]))
            console.print(table(f"{curve.name}, the same simulated", simulated, simulated[-1]))
            yield {
                "curve": curve.name,
                "capacity_rps": known.capacity_rps,
                "loading_s": known.loading_s,
                "live": [_told(outcome) for outcome in lived],
                "simulated": [_told(outcome) for outcome in simulated],
                "failures": [found.failures for found, _ in pairs],
                "loaded_s": [list(found.loading_s) for found, _ in pairs],
                "problems": [list(found.problems) for found, _ in pairs],
            }


def _told(outcome: Outcome) -> dict[str, Any]:
    """JSON has no infinity: a percentile of requests that were never answered is null."""
    return {name: None if value == float("inf") else value for name, value in asdict(outcome).items()}


if __name__ == "__main__":
    app()
