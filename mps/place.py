"""`python -m mps.place`: several models on parts of GPUs, checked, simulated, deployed, measured.

A door: it reads the options, places, predicts, prints, writes, and with --run serves and measures. What the
options say: place_options.py.
"""

import os
from collections.abc import Callable
from pathlib import Path

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.bench.archive import archive_of
from experiments.checks import choose
from experiments.placement.checker import violations
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
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.prototype import (
    PLAN,
    is_device,
    latencies_and_rules,
    read_plan,
    read_settings,
    write_plan,
)
from experiments.placement.shown import outcome_table, placement_table, proven_table
from experiments.placement.steps import place, predict, problem_of
from experiments.placement.strategies.search import Found
from experiments.serving.arms import MpsOptions
from mps import place_options as options
from mps.door import one_line_errors, to_stdout

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=options.HELP)
def main(
    demand: options.Demand,
    profile: options.Profile,
    sched_config: options.SchedConfig = None,
    check: options.Check = None,
    gpus: options.Gpus = 1,
    percentile: options.Percentile = "p50",
    strategy: options.Strategy = "search",
    parts_per_gpu: options.PartsPerGpu = 2,
    models_per_part: options.ModelsPerPart = 3,
    out: options.Out = Path("placement"),
    run: options.Run = False,
    seconds: options.Seconds = 60.0,
    warm_up: options.WarmUp = 10.0,
    tokens: options.Tokens = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    keep_compute_mode: options.KeepComputeMode = False,
) -> None:
    """See HELP."""
    console = to_stdout()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    def warn(line: str) -> None:
        tell(f"warning: {line}")

    with one_line_errors(lambda: f"what was written is in {out}"):
        workloads = read_demand(demand)
        settings = read_settings(sched_config) if sched_config else None
        if settings:
            gpus, strategy = settings.gpus, "greedy" if settings.greedy else strategy
        table, rules = latencies_and_rules(profile, settings, models_per_part, percentile, warn)
        problem = problem_of(workloads, table, rules, parts_per_gpu)
        if check:
            _checked(problem, read_plan(check, problem), gpus, tell)
            return
        placed = place(problem, gpus, strategy)
        used = len(placed.placement.gpus)
        tell(f"{used} of {gpus} GPUs; no placement has fewer than {placed.at_least}")
        console.print(placement_table(problem, placed.placement))
        console.print(outcome_table(problem, predict(problem, placed.placement, seed)))
        if is_device(profile):
            tell(f"written: {write_plan(out / PLAN, problem, placed.placement)}, as the prototype takes it")
        live, where = _written(problem, placed, device, out, run, tell)
        if run and live:
            tell(f"measuring on: {where}")
            asked = Asked(seconds, warm_up, tokens=tokens, seed=seed)
            proven = prove(live, asked, MpsOptions(keep_compute_mode), tell, warn)
            console.print(proven_table(proven))
            write_proof(out, proven, where)
            if proven.problems:
                raise ExperimentError(f"no result: {proven.problems[0]}")


def _checked(problem: Problem, placement: Placement, gpus: int, tell: Callable[[str], None]) -> None:
    """Tells what a plan breaks. Raises ExperimentError where that is anything."""
    broken = violations(placement, problem, gpus)
    for line in broken:
        tell(line)
    if broken:
        raise ExperimentError(f"the plan breaks {len(broken)} rules, the first: {broken[0]}")
    tell(f"the plan keeps every rule on {len(placement.gpus)} GPUs")


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
