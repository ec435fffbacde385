"""The options of `python -m mps.run`: what they say to the user, and the plan's settings they stand for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from experiments.base.errors import UsageError
from experiments.cluster.place import ClusterPlace, cluster_for
from experiments.measure.elsewhere import CLUSTER
from experiments.measure.resumed import CPU, setup_of
from experiments.plan import DEFAULT_DELAY_MS, Plan, plan_from
from experiments.plan import settings_in as read_plan_file
from experiments.plan.defaults import LONGEST_LOOK_S
from experiments.serving.arms import MpsOptions
from mps.door import option

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

  python -m mps.run --server torchserve,triton --workers 2        # the same behind another server

  python -m mps.run --plan plans/quick.yaml --runs 3      # options override the plan

  python -m mps.run --predict --workers 1,2,4                     # the grid predicted, not measured

  python -m mps.run --ray auto                            # spread over the cards of a Ray cluster

  python -m mps.run --resume results/20261121-101500-bert

Exit codes: 0 every cell has a valid run; 1 something failed; 2 wrong usage; 130 interrupted.
"""

Model = Annotated[
    str | None,
    option(help=f"bert, resnet50, embeddings, or the path of a .mar file. [{DEFAULTS.model}]"),
]
Workers = Annotated[str | None, option(help="Worker processes, e.g. 1,2,4. [1,2]")]
BatchSize = Annotated[str | None, option(help="TorchServe's batch_size, e.g. 1,8. [1,4,8]")]
BatchDelay = Annotated[
    str | None, option(help=f"TorchServe's max_batch_delay in ms, e.g. 1,50. [{DEFAULT_DELAY_MS}]")
]
Concurrency = Annotated[
    str | None,
    option(help="Requests in flight, e.g. 1,64. [2 x workers x batch size; at a rate 512 at most]"),
]
Rate = Annotated[
    str | None,
    option(
        help="Requests a second to send, e.g. 50,100,200: an open loop, whose latency counts from when a "
        "request was due. [as fast as answers come]"
    ),
]
Arrivals = Annotated[
    str | None,
    option(help="At a rate: 'poisson', as from many users, or 'constant'. [poisson]"),
]
Slo = Annotated[
    str | None,
    option(
        help="Such as p99=100ms: find the highest rate that keeps it, --runs [1] times. --duration "
        f"[{LONGEST_LOOK_S:g}] is how long a rate is looked at, at most."
    ),
]
ClientBatch = Annotated[str | None, option(help="Texts in a request, e.g. 1,5,25 (of 32 at most). [1]")]
Processes = Annotated[int | None, option(help="Client processes that share the load. [1]")]
Duration = Annotated[float | None, option(help=f"Seconds measured per run. [{DEFAULTS.duration_s:g}]")]
Requests = Annotated[int | None, option(help="Requests measured per run, instead.")]
WarmUp = Annotated[
    float | None, option(help=f"Seconds of load before, not counted. [{DEFAULTS.warm_up_s:g}]")
]
Runs = Annotated[int | None, option(help=f"Runs per cell. [{DEFAULTS.runs}]")]
Seed = Annotated[int | None, option(help=f"Of the order of cells and inputs. [{DEFAULTS.seed}]")]
Interleave = Annotated[
    bool | None,
    option(
        "--interleave/--no-interleave",
        help="Go through all cells once per run, not run by run through each cell: slower, but "
        "the machine's drift falls on all cells alike. [no]",
    ),
]
NoiseFloor = Annotated[
    bool | None,
    option(
        "--noise-floor/--no-noise-floor",
        help="Measure one cell twice: what differs between the two is noise. [yes]",
    ),
]
Input = Annotated[str | None, option("--input", help="A file or folder of request bodies. [our own pool]")]
InputAs = Annotated[
    str | None,
    option(help="How they are sent: each as the 'body', as 'data' of a 'form', or in 'json'. [body]"),
]
CheckAnswers = Annotated[
    bool | None,
    option(
        "--check-answers/--no-check-answers",
        help="Hold answers against those that are right: a wrong one makes a run invalid. [yes]",
    ),
]
PlanFile = Annotated[Path | None, option("--plan", help="YAML file with these settings (see plans/).")]
Out = Annotated[Path | None, option(help="Results folder. [results/<date>-<time>-<model>]")]
Resume = Annotated[Path | None, option(help="Go on in this results folder; nothing is measured twice.")]
Precision = Annotated[str | None, option(help="fp32, tf32, fp16, bf16, int8 or several. [the archive's]")]
Engine = Annotated[
    str | None,
    option(help="torch, torch-compile, onnxruntime, openvino or several of them. [the archive's]"),
]
Server = Annotated[
    str | None, option(help="torchserve, triton, litserve, bentoml or several of them. [torchserve]")
]
Tokens = Annotated[int | None, option(help="Texts of so many tokens each. [texts of several lengths]")]
WithMps = Annotated[
    bool | None,
    option("--with-mps/--without-mps", help="Measure every cell with NVIDIA MPS too. [no]"),
]
ThreadPercentage = Annotated[
    str | None,
    option(help="With MPS: each worker's share of the GPU in percent, e.g. 25,50,100. [no limit]"),
]
MemoryLimit = Annotated[
    str | None,
    option(help="With MPS: MiB of the GPU's memory for each worker, e.g. 4096,8192. [no limit]"),
]
SmChunks = Annotated[
    str | None,
    option(help="With MPS: chunks of a static partition for all workers, e.g. 4,8 (driver 590). [none]"),
]
KeepComputeMode = Annotated[
    bool,
    option("--keep-compute-mode", help="With MPS: leave the GPU's compute mode as it is."),
]
UseRunningDaemon = Annotated[
    bool,
    option("--use-running-daemon", help="With MPS: use the control daemon that runs; leave it."),
]
Goal = Annotated[
    str | None,
    option(help="What is best, e.g. 'throughput with p99<100ms' or 'requests per joule'. [throughput]"),
]
UntilSure = Annotated[
    bool | None,
    option(
        "--until-sure",
        help="Add runs only to configurations that may still be the best. [all runs of all]",
    ),
]
Search = Annotated[
    bool | None,
    option(
        "--search",
        help="Measure only where the best and its rivals may be; say why the rest can't be it. [all cells]",
    ),
]
Budget = Annotated[str | None, option(help="Stop measuring after this time, e.g. 90s, 20m, 1h. [no limit]")]
Ceilings = Annotated[
    bool | None,
    option(
        "--ceilings/--no-ceilings",
        help="What could be reached at most: measure this alone, or not at all. [before the sweep]",
    ),
]
Predict = Annotated[
    bool,
    option(
        "--predict",
        help="Measure the ceilings alone, briefly, and predict the whole grid from them.",
    ),
]
Device = Annotated[
    str | None, option(help="'cpu' or 'gpu': demand one of them. [the GPU where there is one]")
]
Gpu = Annotated[str | None, option(help="Index or UUID of the GPU. [the first that CUDA would use]")]
Ray = Annotated[
    str | None,
    option(help="Spread the cells over the cards of a Ray cluster: HOST:PORT, or 'auto'. [this machine]"),
]
CardCores = Annotated[
    int | None, option(help="With --ray on CPUs: cores that make a card. [all that a node has]")
]
LoadFrom = Annotated[
    str | None,
    option(
        help="With --ray: loads come from the nodes that carry this custom resource of Ray, which hold no "
        "card then. [from each card's own node]"
    ),
]


def beside_the_plan(
    given: Mapping[str, Any],
) -> tuple[str | None, str | None, MpsOptions, bool | None]:
    """--device, --gpu, how MPS is set up, --ceilings; of a resumed run as it began, but for what is given."""
    device, which, ceilings = given["device"], given["gpu"], given["ceilings"]
    mps = MpsOptions(given["keep_compute_mode"], given["use_running_daemon"])
    if given["resume"] is None:
        return device, which, mps, ceilings
    setup = setup_of(given["resume"])
    keep = mps.keep_compute_mode or setup.mps.keep_compute_mode
    borrow = mps.use_running_daemon or setup.mps.use_running_daemon
    in_cluster = (setup.device or "").startswith(CLUSTER)
    if in_cluster and given["ray"] is None:
        raise UsageError(f"{given['resume']} was measured on a {setup.device}: give --ray too")
    if device is None and which is None and setup.device is not None and not given["ray"]:
        device, which = (CPU, None) if setup.device == CPU else (None, setup.device)
    wanted = False if ceilings is None and not setup.ceilings else ceilings
    return device, which, MpsOptions(keep, borrow), wanted


@contextmanager
def cluster(given: Mapping[str, Any], plan: Plan) -> Iterator[ClusterPlace | None]:
    """The cluster of --ray; None without it."""
    address, cores, load_from = given["ray"], given["card_cores"], given["load_from"]
    if address is None:
        if cores is not None:
            raise UsageError("--card-cores is for the cards of a cluster: give --ray too")
        if load_from is not None:
            raise UsageError("--load-from names nodes of a cluster: give --ray too")
        yield None
        return
    if given["gpu"] is not None:
        raise UsageError("--ray takes all GPUs of the cluster: drop --gpu")
    cpu = given["device"] == CPU
    ceilings = given["ceilings"]
    with cluster_for(plan, address, cores, cpu=cpu, ceilings=ceilings, load_from=load_from) as found:
        yield found


def cluster_again(given: Mapping[str, Any]) -> list[str]:
    """Those of its options that a resumed run needs again."""
    options = ("ray", "card_cores", "load_from")
    named = {f"--{name.replace('_', '-')}": given[name] for name in options}
    return [part for name, value in named.items() if value is not None for part in (name, str(value))]


def settings_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's settings among the options given, as a plan's file has them. Raises UsageError."""
    settings = {
        key: read(name, options[name]) for name, (key, read) in READ_AS.items() if options[name] is not None
    }
    if options["with_mps"] is False:
        for key in ("thread_percentage", "memory_limit_mib", "sm_chunks"):
            settings.setdefault(key, [])  # a plan's limits are for its arm with MPS
    return settings


def plan_with(plan_file: Path | None, given: Mapping[str, Any]) -> Plan:
    """The plan file's settings, overridden by the options given; --requests replaces a file's duration."""
    settings = read_plan_file(plan_file) if plan_file else {}
    if "requests" in given and "duration_s" not in given:
        settings.pop("duration_s", None)
    if "duration_s" in given and "requests" not in given:
        settings.pop("requests", None)
    return plan_from({**settings, **given})


def _as_it_is(name: str, value: Any) -> Any:
    return value


def whole_numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        option = name.replace("_", "-")
        raise UsageError(f"--{option} takes whole numbers with commas between, not {text!r}") from error


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--{name} takes numbers with commas between, not {text!r}") from error


def _words(name: str, text: str) -> list[str]:
    return text.split(",")


def _seconds(name: str, text: str) -> float:
    """A time as people write it: 90, 90s, 20m, 1.5h."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in SECONDS_OF else (text, "s")
    try:
        return float(number) * SECONDS_OF[unit]
    except ValueError as error:
        raise UsageError(f"--{name} takes a time such as 90s, 20m or 1h, not {text!r}") from error


def _path(name: str, text: str) -> str:
    return str(Path(text).resolve())


SECONDS_OF = {"s": 1, "m": 60, "h": 3600}

READ_AS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "model": ("model", _as_it_is),
    "workers": ("workers", whole_numbers),
    "batch_size": ("batch_size", whole_numbers),
    "batch_delay": ("batch_delay_ms", whole_numbers),
    "concurrency": ("concurrency", whole_numbers),
    "rate": ("rate_rps", _numbers),
    "arrivals": ("arrivals", _as_it_is),
    "slo": ("slo", _as_it_is),
    "client_batch": ("client_batch", whole_numbers),
    "processes": ("processes", _as_it_is),
    "duration": ("duration_s", _as_it_is),
    "requests": ("requests", _as_it_is),
    "warm_up": ("warm_up_s", _as_it_is),
    "runs": ("runs", _as_it_is),
    "seed": ("seed", _as_it_is),
    "interleave": ("interleave", _as_it_is),
    "noise_floor": ("noise_floor", _as_it_is),
    "server": ("server", _words),
    "engine": ("engine", _words),
    "precision": ("precision", _words),
    "tokens": ("tokens", _as_it_is),
    "with_mps": ("with_mps", _as_it_is),
    "goal": ("goal", _as_it_is),
    "until_sure": ("until_sure", _as_it_is),
    "search": ("search", _as_it_is),
    "budget": ("budget_s", _seconds),
    "thread_percentage": ("thread_percentage", whole_numbers),
    "memory_limit": ("memory_limit_mib", whole_numbers),
    "sm_chunks": ("sm_chunks", whole_numbers),
    "input_": ("input", _path),
    "input_as": ("input_as", _as_it_is),
    "check_answers": ("check_answers", _as_it_is),
}
"""Option -> the plan's key that it sets, and how its text is read."""
