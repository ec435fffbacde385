"""`python -m mps.run`: the sweep over workers and batch sizes, from options to the table on the terminal.

A door: it reads the options, makes the plan, measures, judges, shows. What the options mean: run_options.py.
"""

import sys
from contextlib import ExitStack

import typer

from experiments.base.errors import ExperimentError, shortages_told
from experiments.base.shown import command
from experiments.bench import bench_for
from experiments.bench.engines import possible
from experiments.bench.servers import servable
from experiments.checks import card_for
from experiments.measure import measure
from experiments.report import show
from experiments.report.progress import ConsoleProgress
from experiments.report.terminal import tell, tell_files
from experiments.verdict import Verdict, judge
from experiments.watch.environment import python_command
from mps import predicting
from mps import run_options as options
from mps.door import one_line_errors, to_stdout
from mps.run_folder import kept, plan_and_folder, say_how_to_go_on

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=options.HELP)
def main(
    model: options.Model = None,
    workers: options.Workers = None,
    batch_size: options.BatchSize = None,
    batch_delay: options.BatchDelay = None,
    concurrency: options.Concurrency = None,
    rate: options.Rate = None,
    arrivals: options.Arrivals = None,
    slo: options.Slo = None,
    client_batch: options.ClientBatch = None,
    processes: options.Processes = None,
    duration: options.Duration = None,
    requests: options.Requests = None,
    warm_up: options.WarmUp = None,
    runs: options.Runs = None,
    seed: options.Seed = None,
    interleave: options.Interleave = None,
    noise_floor: options.NoiseFloor = None,
    input_: options.Input = None,
    input_as: options.InputAs = None,
    check_answers: options.CheckAnswers = None,
    plan_file: options.PlanFile = None,
    out: options.Out = None,
    resume: options.Resume = None,
    server: options.Server = None,
    engine: options.Engine = None,
    precision: options.Precision = None,
    tokens: options.Tokens = None,
    with_mps: options.WithMps = None,
    thread_percentage: options.ThreadPercentage = None,
    memory_limit: options.MemoryLimit = None,
    sm_chunks: options.SmChunks = None,
    keep_compute_mode: options.KeepComputeMode = False,
    use_running_daemon: options.UseRunningDaemon = False,
    goal: options.Goal = None,
    until_sure: options.UntilSure = None,
    search: options.Search = None,
    budget: options.Budget = None,
    ceilings: options.Ceilings = None,
    predict: options.Predict = False,
    device: options.Device = None,
    gpu: options.Gpu = None,
    ray: options.Ray = None,
    card_cores: options.CardCores = None,
    load_from: options.LoadFrom = None,
) -> None:
    """See HELP."""
    given = dict(locals())
    with ExitStack() as stack:
        with one_line_errors():
            plan, folder = plan_and_folder(options.settings_in(given), plan_file, out, resume)
            device, gpu, mps, ceilings = options.beside_the_plan(given)
            effort = predicting.effort_of(given, plan, ceilings)
            cluster = stack.enter_context(options.cluster(given, plan))
            card, where = (cluster.card, cluster.line) if cluster else card_for(plan, device, gpu, mps)
            plan, left_out = possible(plan, card)
            bench = bench_for(plan, card, mps)
            plan, without = servable(plan, bench)
        go_on = command("python", "-m", "mps.run", "--resume", folder, *options.cluster_again(given))
        stack.enter_context(one_line_errors(lambda: f"{kept(folder, plan)}; go on with: {go_on}"))
        console = to_stdout()
        console.print("\n".join([f"measuring on: {where}", *left_out, *without]), markup=False)
        progress = ConsoleProgress(console)
        try:
            with shortages_told(), progress:
                results = measure(
                    plan,
                    bench,
                    folder,
                    progress,
                    resume=resume is not None,
                    ceilings=effort,
                    sweep=not (ceilings or predict),
                    elsewhere=cluster,
                    command=python_command("mps.run", sys.argv[1:]),
                )
        except ExperimentError as error:
            if progress.folder:  # else it was refused before anything began
                say_how_to_go_on(error, progress.folder, go_on)
            raise
        if predict:
            predicting.tell_prediction(console, results)
        elif not ceilings:
            tell(console, verdict := judge(results))
            tell_files(console, verdict, show(verdict))
            _refuse_incomplete(verdict)


def _refuse_incomplete(verdict: Verdict) -> None:
    if missing := verdict.missing:
        cells = len(verdict.plan.cells())
        raise ExperimentError(f"{len(missing)} of {cells} cells have no valid run: {missing[0]}")


if __name__ == "__main__":
    app()
