"""`python -m mps.run`: the sweep over workers and batch sizes, from options to the table on the terminal.

A door: it parses, calls experiments/, prints, and turns errors into one line and an exit code.
"""

import dataclasses
import hashlib
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from experiments.base.cores import usable_cores
from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.bench.inputs import pool_for
from experiments.ceilings.measure import Effort, measure_ceilings
from experiments.ceilings.record import read_ceilings
from experiments.ceilings.record import table as ceilings_table
from experiments.checks.checks import first_obstacle
from experiments.measure.campaign import Bench, carry_out, missing_results, rules_of
from experiments.measure.progress import ConsoleProgress
from experiments.measure.race import standing
from experiments.plan.defaults import LONGEST_LOOK_S
from experiments.plan.plan import DEFAULT_DELAY_MS, Plan, plan_from
from experiments.plan.plan_file import settings_in
from experiments.report import PAGE, write_report
from experiments.report.terminal import show
from experiments.results import folder as results
from experiments.serving.arms import MpsOptions
from experiments.verdict.advice import Goal, advise, goal_from, measured_noise, sentence, write_files
from experiments.verdict.summary import summary_of
from experiments.watch import environment
from handlers.archive.archives import NAMES, ArchiveError, read_provenance
from mps.card.gpu import Gpu, NoGpuError, is_stood_in_for
from mps.card.gpu import gpu as find_gpu

DEFAULTS = Plan()

HELP = """Measure throughput and latency of a model under TorchServe, by workers and batch size.

Starts a TorchServe of its own on free loopback ports, sweeps the grid of --workers x --batch-size under
closed-loop load, and reports the median of --runs runs for each cell. Every finished trial is on disk at
once; --resume goes on where a run was stopped.

Examples:

  python -m mps.run                                       # BERT, 1 and 2 workers, batch 1, 4, 8

  python -m mps.run --with-mps --workers 2,4 --precision fp16   # does MPS help? needs an NVIDIA GPU

  python -m mps.run --model resnet50 --workers 1,2,4 --batch-size 1,8,32

  python -m mps.run --model my.mar --input texts/ --requests 10000 --concurrency 600

  python -m mps.run --workers 2 --batch-size 1,8 --rate 5,10,20   # latency at these rates (an open loop)

  python -m mps.run --workers 2 --batch-size 1,8 --slo p99=500ms  # the highest rate that keeps this bound

  python -m mps.run --plan plans/quick.yaml --runs 3      # options override the plan

  python -m mps.run --resume results/20261121-101500-bert

Exit codes: 0 every cell has a valid run; 1 something failed; 2 wrong usage; 130 interrupted.
"""

# Enough for a figure beside each cell, in a fraction of the sweep's time.
BESIDE_A_SWEEP = Effort(windows=1, bare_s=2.0, batch_sizes=())
STAND_IN_NOTE = "The GPU and its MPS clients were stood in for: these are figures of a test and of no GPU."

SECONDS_OF = {"s": 1, "m": 60, "h": 3600}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command(help=HELP)
def main(
    model: Annotated[
        str | None,
        typer.Option(help=f"bert, resnet50, embeddings, or the path of a .mar file. [{DEFAULTS.model}]"),
    ] = None,
    workers: Annotated[str | None, typer.Option(help="Worker processes, e.g. 1,2,4. [1,2]")] = None,
    batch_size: Annotated[str | None, typer.Option(help="TorchServe's batch_size, e.g. 1,8. [1,4,8]")] = None,
    batch_delay: Annotated[
        str | None, typer.Option(help=f"TorchServe's max_batch_delay in ms, e.g. 1,50. [{DEFAULT_DELAY_MS}]")
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(help="Requests in flight, e.g. 1,64. [2 x workers x batch size; at a rate 512 at most]"),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Requests a second to send, e.g. 50,100,200: an open loop, whose latency counts from when a "
            "request was due. [as fast as answers come]"
        ),
    ] = None,
    arrivals: Annotated[
        str | None,
        typer.Option(help="At a rate: 'poisson', as from many users, or 'constant'. [poisson]"),
    ] = None,
    slo: Annotated[
        str | None,
        typer.Option(
            help="Such as p99=100ms: find the highest rate that keeps it, --runs [1] times. --duration "
            f"[{LONGEST_LOOK_S:g}] is how long a rate is looked at, at most."
        ),
    ] = None,
    client_batch: Annotated[
        str | None, typer.Option(help="Texts in a request, e.g. 1,5,25 (of 32 at most). [1]")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Client processes that share the load. [1]")] = None,
    duration: Annotated[
        float | None, typer.Option(help=f"Seconds measured per run. [{DEFAULTS.duration_s:g}]")
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Requests measured per run, instead.")] = None,
    warm_up: Annotated[
        float | None, typer.Option(help=f"Seconds of load before, not counted. [{DEFAULTS.warm_up_s:g}]")
    ] = None,
    runs: Annotated[int | None, typer.Option(help=f"Runs per cell. [{DEFAULTS.runs}]")] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Of the order of cells and inputs. [{DEFAULTS.seed}]")
    ] = None,
    interleave: Annotated[
        bool | None,
        typer.Option(
            "--interleave/--no-interleave",
            help="Go through all cells once per run, not run by run through each cell: slower, but "
            "the machine's drift falls on all cells alike. [no]",
        ),
    ] = None,
    noise_floor: Annotated[
        bool | None,
        typer.Option(
            "--noise-floor/--no-noise-floor",
            help="Measure one cell twice: what differs between the two is noise. [yes]",
        ),
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="A file or folder of request bodies. [our own pool]")
    ] = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="YAML file with these settings (see plans/).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder. [results/<date>-<time>-<model>]")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on in this results folder; nothing is measured twice.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, tf32, fp16, bf16 or several of them. [the archive's]")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Texts of so many tokens each. [texts of several lengths]")
    ] = None,
    with_mps: Annotated[
        bool | None,
        typer.Option("--with-mps/--without-mps", help="Measure every cell with NVIDIA MPS too. [no]"),
    ] = None,
    thread_percentage: Annotated[
        str | None,
        typer.Option(help="With MPS: each worker's share of the GPU in percent, e.g. 25,50,100. [no limit]"),
    ] = None,
    keep_compute_mode: Annotated[
        bool,
        typer.Option("--keep-compute-mode", help="With MPS: leave the GPU's compute mode as it is."),
    ] = False,
    use_running_daemon: Annotated[
        bool,
        typer.Option("--use-running-daemon", help="With MPS: use the control daemon that runs; leave it."),
    ] = False,
    goal: Annotated[
        str | None,
        typer.Option(
            help="What is best, e.g. 'throughput with p99<100ms' or 'requests per joule'. [throughput]"
        ),
    ] = None,
    until_sure: Annotated[
        bool | None,
        typer.Option(
            "--until-sure",
            help="Add runs only to configurations that may still be the best. [all runs of all]",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Stop measuring after this time, e.g. 90s, 20m, 1h. [no limit]")
    ] = None,
    ceilings: Annotated[
        bool | None,
        typer.Option(
            "--ceilings/--no-ceilings",
            help="What could be reached at most: measure this alone, or not at all. [before the sweep]",
        ),
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help="Index or UUID of the GPU. [the first that CUDA would use]")
    ] = None,
) -> None:
    """See HELP."""
    with suppress(ValueError):  # not the main thread: a caller that embeds this keeps its own handling
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = {
            "model": model,
            "workers": _numbers("workers", workers),
            "batch_size": _numbers("batch-size", batch_size),
            "batch_delay_ms": _numbers("batch-delay", batch_delay),
            "concurrency": _numbers("concurrency", concurrency),
            "rate_rps": _rates(rate),
            "arrivals": arrivals,
            "slo": slo,
            "client_batch": _numbers("client-batch", client_batch),
            "processes": processes,
            "duration_s": duration,
            "requests": requests,
            "warm_up_s": warm_up,
            "runs": runs,
            "seed": seed,
            "interleave": interleave,
            "noise_floor": noise_floor,
            "precision": precision.split(",") if precision else None,
            "tokens": tokens,
            "with_mps": with_mps,
            "goal": goal,
            "until_sure": until_sure,
            "budget_s": _seconds("budget", budget),
            "thread_percentage": _numbers("thread-percentage", thread_percentage),
            "input": str(Path(input_).resolve()) if input_ else None,
        }
        given = {key: value for key, value in options.items() if value is not None}
        if with_mps is False:
            given.setdefault("thread_percentage", [])  # a plan's shares are for its arm with MPS
        if resume is not None:
            if given or plan_file or out:
                raise UsageError(f"--resume takes the plan of {resume}: give no other option with it")
            folder, plan = resume, results.read_plan(resume)
        else:
            plan = _plan(plan_file, given)
            folder = out or _new_folder(plan)
        goal_from(plan.goal)  # refused now, not after the sweep
        options_of_mps = MpsOptions(keep_compute_mode, use_running_daemon)
        card = _card(plan, gpu, options_of_mps)
        _sweep(plan, folder, card, options_of_mps, resuming=resume is not None, ceilings=ceilings)
    except ExperimentError as error:
        _fail(error)


def _plan(plan_file: Path | None, given: dict[str, Any]) -> Plan:
    """The plan file's settings, overridden by the options given; --requests replaces a file's duration."""
    settings = settings_in(plan_file) if plan_file else {}
    if "requests" in given and "duration_s" not in given:
        settings.pop("duration_s", None)
    if "duration_s" in given and "requests" not in given:
        settings.pop("requests", None)
    return plan_from(settings | given)


def _card(plan: Plan, which: str | None, options: MpsOptions) -> Gpu | None:
    """The GPU to measure on. Without MPS a machine may have none; with it everything must be in place."""
    if plan.with_mps and (obstacle := first_obstacle(max(plan.workers), options, which)):
        raise UsageError(f"{obstacle} (`python -m mps.doctor` tells more)")
    try:
        return find_gpu(which)
    except NoGpuError:
        if which is None:
            return None
        raise


def _sweep(
    plan: Plan, folder: Path, card: Gpu | None, options: MpsOptions, *, resuming: bool, ceilings: bool | None
) -> None:
    archive = _archive(plan.model)
    try:
        provenance = read_provenance(archive)
    except ArchiveError as error:
        raise UsageError(str(error)) from error
    pools = {
        inputs: pool_for(provenance.kind, plan.input, plan.tokens, archive, inputs)
        for inputs in {1, *plan.client_batch}
    }
    bench = Bench(archive, pools[1], card, options, pools)
    here = environment.describe(environment.python_command("mps.run", sys.argv[1:]), plan.seed)
    here["archive"] = {"name": archive.name, "sha256": _sha256(archive), **dataclasses.asdict(provenance)}
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width of its own: nothing is cut
    if resuming:
        _note_resumption(folder, here)
    else:
        results.create(folder, plan, here)
    console.print(f"Results go to {folder}", highlight=False)
    try:
        with ConsoleProgress(console) as progress:
            if ceilings is not False and provenance.kind != "unknown" and not read_ceilings(folder):
                effort = None if ceilings else BESIDE_A_SWEEP
                console.print(ceilings_table(measure_ceilings(plan, bench, folder, progress, effort)))
            if ceilings:
                return
            measured = carry_out(plan, bench, folder, progress)
    except KeyboardInterrupt:
        _stop_interrupted(folder, plan)
    except ExperimentError as error:
        kept = len(results.read_trials(folder))
        if kept:
            error.args = (f"{error}; {kept} trials are kept, go on with: {_resume_command(folder)}",)
        raise
    summary = summary_of(plan, measured, read_ceilings(folder), usable_cores())
    results.write_summary(folder, summary)
    show(console, plan, summary)
    goal = _advise(console, plan, measured, folder)
    write_report(folder, goal=goal)
    if is_stood_in_for():
        console.print(STAND_IN_NOTE, style="yellow")
    if provenance.random_weights:
        console.print(f"{provenance.note}.", style="yellow")
    console.print(f"The report, and all figures behind it: {folder / PAGE}", highlight=False)
    if problems := list(missing_results(plan, measured)):
        raise ExperimentError(
            f"{len(problems)} of {len(plan.cells())} cells have no valid run: {problems[0]}"
        )


def _advise(
    console: Console, plan: Plan, measured: Sequence[results.TrialResult], folder: Path
) -> Goal | None:
    """Says what to use, and puts the files for it into the results folder; None where there is no advice."""
    goal = goal_from(plan.goal)
    contenders = standing(plan, measured, rules_of(plan)).contenders if plan.until_sure else None
    try:
        advice = advise(measured, goal, contenders=contenders, noise_floor=measured_noise(measured))
    except ExperimentError as error:
        console.print(f"No advice: {error}", markup=False, highlight=False)
        return None
    said = sentence(advice)
    console.print(f"{said[0].upper()}{said[1:]}.", style="bold", markup=False, highlight=False)
    for note in advice.notes:
        console.print(f"{note}.", markup=False, highlight=False)
    write_files(advice, folder / "advice")
    console.print(f"What to deploy: {folder / 'advice'}", highlight=False)
    return goal


def _archive(model: str) -> Path:
    if model.endswith(".mar"):
        path = Path(model)
        remedy = "check the path"
    elif model in NAMES.values():
        path = ROOT / "model_store" / f"{model}.mar"
        remedy = "run `make mar` first"
    else:
        raise UsageError(
            f"unknown model {model!r}: use bert, resnet50, embeddings or the path of a .mar file"
        )
    if not path.is_file():
        raise UsageError(f"no archive {path}: {remedy}")
    return path


def _sha256(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _new_folder(plan: Plan) -> Path:
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{Path(plan.model).stem}"
    return ROOT / "results" / name


def _note_resumption(folder: Path, here: dict[str, Any]) -> None:
    """Adds this start to environment.json; refuses another archive, warns of another machine."""
    before = results.read_environment(folder)
    if before.get("archive", {}).get("sha256") != here["archive"]["sha256"]:
        raise UsageError(f"the archive is not the one {folder} was measured with: start a new run")
    for difference in environment.differences(before, here):
        errors.print(f"warning: not as at the start of this run: {difference}", style="yellow")
    before.setdefault("resumed", []).append(here)
    results.write_json(folder / "environment.json", before)


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--{option} takes whole numbers with commas between, not {text!r}") from error


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--rate takes numbers with commas between, not {text!r}") from error


def _seconds(option: str, text: str | None) -> float | None:
    """A time as people write it: 90, 90s, 20m, 1.5h."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in SECONDS_OF else (text, "s")
    try:
        return float(number) * SECONDS_OF[unit]
    except ValueError as error:
        raise UsageError(f"--{option} takes a time such as 90s, 20m or 1h, not {text!r}") from error


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _stop_interrupted(folder: Path, plan: Plan) -> NoReturn:
    kept = len(results.read_trials(folder))
    errors.print(
        f"interrupted: {kept} of {len(plan.trials())} trials are kept; go on with: {_resume_command(folder)}"
    )
    raise typer.Exit(130)


def _resume_command(folder: Path) -> str:
    return f"python -m mps.run --resume {folder}"


def _fail(error: ExperimentError) -> NoReturn:
    if error.details.strip():
        errors.print(error.details.rstrip(), markup=False, style="dim")
    errors.print(f"error: {error}", markup=False)
    raise typer.Exit(error.exit_code)


if __name__ == "__main__":
    app()
