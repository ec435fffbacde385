"""`python -m mps.place`: several models on parts of GPUs, checked, simulated, deployed, measured.

A door: it reads the options, places, predicts, prints, writes, and with --run serves and measures.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.bench.archive import archive_of
from experiments.checks import choose
from experiments.placement.demand import read_demand
from experiments.placement.deployment import (
    Asked,
    Live,
    prove,
    seats,
    write_deployment,
    write_placement,
    write_proof,
)
from experiments.placement.problem import Problem, Rules
from experiments.placement.readers import read_latencies
from experiments.placement.shown import outcome_table, placement_table, proven_table
from experiments.placement.steps import place, predict, problem_of
from experiments.placement.strategies.search import Found
from experiments.serving.arms import MpsOptions
from mps.door import one_line_errors, to_stdout

HELP = """Place several models on parts of GPUs, each with as much as its rate and its bound need.

The demand is a YAML file: `models:`, a list of `model`, `rate_rps`, `slo_ms`. The profile is what `python -m
mps.profile` wrote, or any CSV with the columns model, batch, percent, latency_ms. The placement on the fewest
GPUs that is found passes a checker of its own, is simulated, printed, and written to a folder, with what
TorchServe needs to serve it.

Examples:

  python -m mps.place demand.yaml --profile profile.csv --gpus 4

  python -m mps.place demand.yaml --profile profile.csv --run     # serve it here, and measure every model

On a machine without a GPU a share is whole cores, and one GPU is all of the CPU.

Exit codes: 0 placed; 1 impossible, or something failed; 2 wrong usage; 130 interrupted.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    demand: Annotated[Path, typer.Argument(help="The models, their rates and bounds.")],
    profile: Annotated[Path, typer.Option(help="Latencies by share and batch size.")],
    gpus: Annotated[int, typer.Option(help="GPUs that there are.")] = 1,
    percentile: Annotated[
        str, typer.Option(help="Of the profile's latencies: p50, p95, p99 or mean.")
    ] = "p50",
    strategy: Annotated[
        str, typer.Option(help="search, gpulet, greedy, equal-shares or time-sharing.")
    ] = "search",
    parts_per_gpu: Annotated[int, typer.Option(help="Shares that a GPU may be cut into.")] = 2,
    models_per_part: Annotated[int, typer.Option(help="Models that may take turns on one share.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("placement"),
    run: Annotated[bool, typer.Option("--run", help="Serve it here, and measure every model.")] = False,
    seconds: Annotated[float, typer.Option(help="Of load, with --run.")] = 60.0,
    warm_up: Annotated[float, typer.Option(help="Seconds of load before that.")] = 10.0,
    tokens: Annotated[int | None, typer.Option(help="Texts of so many tokens. [of several lengths]")] = None,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu or gpu. [the GPU where there is one]")] = None,
    keep_compute_mode: Annotated[
        bool, typer.Option("--keep-compute-mode", help="Leave the GPU's compute mode as it is.")
    ] = False,
) -> None:
    """See HELP."""
    console = to_stdout()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    def warn(line: str) -> None:
        tell(f"warning: {line}")

    with one_line_errors(lambda: f"what was written is in {out}"):
        workloads = read_demand(demand)
        table = read_latencies(profile, warn, percentile)
        problem = problem_of(workloads, table, Rules(models_per_part=models_per_part), parts_per_gpu)
        placed = place(problem, gpus, strategy)
        used = len(placed.placement.gpus)
        tell(f"{used} of {gpus} GPUs; no placement has fewer than {placed.at_least}")
        console.print(placement_table(problem, placed.placement))
        console.print(outcome_table(problem, predict(problem, placed.placement, seed)))
        live, where = _written(problem, placed, device, out, run, tell)
        if run and live:
            tell(f"measuring on: {where}")
            asked = Asked(seconds, warm_up, tokens=tokens, seed=seed)
            proven = prove(live, asked, MpsOptions(keep_compute_mode), tell, warn)
            console.print(proven_table(proven))
            write_proof(out, proven, where)
            if proven.problems:
                raise ExperimentError(f"no result: {proven.problems[0]}")


def _written(
    problem: Problem, placed: Found, device: str | None, out: Path, run: bool, tell: Callable[[str], None]
) -> tuple[Live | None, str]:
    """Writes what there is to write. Without the models' archives that is the placement alone."""
    card, where = choose(device)
    cores = tuple(sorted(os.sched_getaffinity(0))) if card is None else None
    try:
        archives = {
            workload.model: archive_of(workload.archive or workload.model) for workload in problem.workloads
        }
        seated = seats(placed.placement, problem, cores)
    except UsageError as error:
        if run:
            raise
        tell(
            f"written: {write_placement(out, problem, placed.placement, [], placed.at_least)}, and nothing to"
        )
        tell(f"serve it with: {error}")
        return None, where
    write_placement(out, problem, placed.placement, seated, placed.at_least)
    write_deployment(out, problem, seated, archives, len(placed.placement.gpus))
    tell(f"written: {out}; serve it with {out / 'start.sh'}")
    return Live(problem, placed.placement, seated, archives, card), where


if __name__ == "__main__":
    app()
