"""`python -m mps.place`: several models on parts of GPUs, checked, simulated, deployed, measured.

A door: it reads the options, places, predicts, prints, writes, with --periods follows rates that change, and
with --run serves and measures. What the options say: place_options.py.
"""

from dataclasses import replace
from pathlib import Path

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.demand import read_demand
from experiments.placement.deployment import Asked, prove, write_proof, write_what_serves
from experiments.placement.fitting import interference_of
from experiments.placement.interference import NOT_FELT
from experiments.placement.periods import MAKE_PART_S, Making, compare, read_trace, tables, write_periods
from experiments.placement.problem import Rules
from experiments.placement.readers import read_latencies
from experiments.placement.reserve import place_with_reserve
from experiments.placement.shown import outcome_table, placement_table, proven_table, reserve_told
from experiments.placement.steps import SEARCH, problem_of
from experiments.report.placement import Placing, write_page
from experiments.serving.arms import MpsOptions
from mps import place_options as options
from mps.door import one_line_errors, to_stdout

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=options.HELP)
def main(
    demand: options.Demand,
    profile: options.Profile,
    gpus: options.Gpus = 1,
    percentile: options.Percentile = "p50",
    strategy: options.Strategy = "search",
    parts_per_gpu: options.PartsPerGpu = 2,
    models_per_part: options.ModelsPerPart = 3,
    interference: options.Beside = None,
    within: options.Within = 99.0,
    out: options.Out = Path("placement"),
    run: options.Run = False,
    seconds: options.Seconds = 60.0,
    warm_up: options.WarmUp = 10.0,
    tokens: options.Tokens = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    keep_compute_mode: options.KeepComputeMode = False,
    periods: options.Periods = None,
    make_part_s: options.MakePart = MAKE_PART_S,
    ahead: options.Ahead = False,
) -> None:
    """See HELP."""
    console = to_stdout()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    def warn(line: str) -> None:
        tell(f"warning: {line}")

    with one_line_errors(lambda: f"what was written is in {out}"):
        if periods and (run or strategy != SEARCH):
            raise UsageError("--periods is searched for and simulated: leave --run and --strategy out")
        workloads = read_demand(demand)
        trace = read_trace(periods, workloads) if periods else ()
        table = read_latencies(profile, warn, percentile)
        felt = interference_of(interference, workloads, table, tell) if interference else NOT_FELT
        rules = Rules(models_per_part=models_per_part, interference=felt)
        problem = problem_of(workloads, table, rules, parts_per_gpu)
        reserved = place_with_reserve(problem, gpus, strategy, within / 100, seed)
        placed = reserved.placed
        used = len(placed.placement.gpus)
        tell(f"{used} of {gpus} GPUs; no placement has fewer than {placed.at_least}")
        console.print(placement_table(problem, placed.placement))
        console.print(outcome_table(problem, reserved.predicted))
        for line in reserve_told(problem, reserved):
            tell(line)
        live, where = write_what_serves(problem, placed, device, out, run, tell)
        placing = Placing(
            problem,
            placed.placement,
            placed.at_least,
            gpus,
            strategy,
            reserved.predicted,
            seed,
            planned=reserved.planned,
        )
        if trace:
            making = Making(make_part_s, ahead)
            crossed = compare(problem, trace, gpus, making, seed)
            for each in tables(trace, crossed):
                console.print(each)
            tell(f"written: {', '.join(map(str, write_periods(out, problem, trace, crossed, making)))}")
        if run and live:
            tell(f"measuring on: {where}")
            asked = Asked(seconds, warm_up, tokens=tokens, seed=seed)
            proven = prove(live, asked, MpsOptions(keep_compute_mode), tell, warn)
            console.print(proven_table(proven))
            write_proof(out, proven, where)
            placing = replace(placing, proven=proven, measured_on=where)
        tell(f"its page: {write_page(out, placing)}")
        if placing.proven and placing.proven.problems:
            raise ExperimentError(f"no result: {placing.proven.problems[0]}")


if __name__ == "__main__":
    app()
