"""`python -m mps.place`: several models on parts of GPUs, checked, simulated, deployed, measured.

A door: it reads the options, places, predicts, prints, writes, with --periods follows rates that change, and
with --run serves and measures. What the options say: place_options.py.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.checker import violations
from experiments.placement.demand import read_demand
from experiments.placement.deployment import Asked, prove, write_proof, write_what_serves
from experiments.placement.fitting import interference_of
from experiments.placement.periods import MAKE_PART_S, Making, compare, read_trace, tables, write_periods
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
from experiments.placement.readers import engines_asked
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
    sched_config: options.SchedConfig = None,
    check: options.Check = None,
    gpus: options.Gpus = 1,
    percentile: options.Percentile = "p50",
    engine: options.Engine = None,
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
        settings = read_settings(sched_config) if sched_config else None
        if settings:
            gpus, strategy = settings.gpus, "greedy" if settings.greedy else strategy
        table, rules = latencies_and_rules(
            profile, settings, models_per_part, percentile, warn, engines_asked(engine)
        )
        if interference:
            rules = replace(rules, interference=interference_of(interference, workloads, table, tell))
        problem = problem_of(workloads, table, rules, parts_per_gpu)
        if check:
            _checked(problem, read_plan(check, problem), gpus, tell)
            return
        reserved = place_with_reserve(problem, gpus, strategy, within / 100, seed)
        placed = reserved.placed
        used = len(placed.placement.gpus)
        tell(f"{used} of {gpus} GPUs; no placement has fewer than {placed.at_least}")
        console.print(placement_table(problem, placed.placement))
        console.print(outcome_table(problem, reserved.predicted))
        for line in reserve_told(problem, reserved):
            tell(line)
        if is_device(profile):
            tell(f"written: {write_plan(out / PLAN, problem, placed.placement)}, as the prototype takes it")
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


def _checked(problem: Problem, placement: Placement, gpus: int, tell: Callable[[str], None]) -> None:
    """Tells what a plan breaks. Raises ExperimentError where that is anything."""
    broken = violations(placement, problem, gpus)
    for line in broken:
        tell(line)
    if broken:
        raise ExperimentError(f"the plan breaks {len(broken)} rules, the first: {broken[0]}")
    tell(f"the plan keeps every rule on {len(placement.gpus)} GPUs")


if __name__ == "__main__":
    app()
