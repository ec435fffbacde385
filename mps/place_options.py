"""The options of `python -m mps.place`: what they say to the user."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Place several models on parts of GPUs, each with as much as its rate and its bound need.

The demand is a YAML file: `models:`, a list of `model`, `rate_rps`, `slo_ms`. The profile is what `python -m
mps.profile` wrote, or any CSV with the columns model, batch, percent, latency_ms. The gpu-let prototype's
task files, device-config.json (a profile) and sched-config.json are read, too. The placement on the fewest
GPUs that is found passes a checker of its own, is simulated, printed, and written to a folder, with a page
that shows it, placement.html, and what TorchServe needs to serve it.

Examples:

  python -m mps.place demand.yaml --profile profile.csv --gpus 4

  python -m mps.place demand.yaml --profile profile.csv --run     # serve it here, and measure every model

  python -m mps.place demand.yaml --profile profile.csv --gpus 4 --periods rates.csv   # rates that change

With --periods the rates of a CSV (start_s, and a column for each model) are placed as well, period by
period, on few GPUs and with few parts made anew, and compared with placing anew and with holding the peak's.

On a machine without a GPU a share is whole cores, and one GPU is all of the CPU.

Exit codes: 0 placed; 1 impossible, or something failed; 2 wrong usage; 130 interrupted.
"""

Demand = Annotated[Path, typer.Argument(help="The models, their rates and bounds.")]
Profile = Annotated[Path, typer.Option(help="Latencies by share and batch size.")]
SchedConfig = Annotated[
    Path | None, typer.Option(help="The gpu-let prototype's: its GPUs and rules instead of these options.")
]
Check = Annotated[Path | None, typer.Option(help="A ModelList.txt that is checked, and nothing is placed.")]
Gpus = Annotated[int, typer.Option(help="GPUs that there are.")]
Percentile = Annotated[str, typer.Option(help="Of the profile's latencies: p50, p95, p99 or mean.")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="What serves, of the engines in the profile: torch, or bert=onnxruntime,resnet50=torch. "
        "One a model."
    ),
]
Strategy = Annotated[str, typer.Option(help="search, gpulet, greedy, equal-shares or time-sharing.")]
PartsPerGpu = Annotated[int, typer.Option(help="Shares that a GPU may be cut into.")]
ModelsPerPart = Annotated[int, typer.Option(help="Models that may take turns on one share.")]
Beside = Annotated[
    Path | None,
    typer.Option(
        "--interference",
        help="What `mps.profile --pairs` wrote: neighbours on a GPU slow each other down so. [not at all]",
    ),
]
Within = Annotated[
    float,
    typer.Option(
        help="Percent of each model's requests that keep their bound, simulated with Poisson arrivals: parts "
        "are left as much room as that takes. 0 fills them to the rates."
    ),
]
Out = Annotated[Path, typer.Option(help="The folder to write to.")]
Run = Annotated[bool, typer.Option("--run", help="Serve it here, and measure every model.")]
Seconds = Annotated[float, typer.Option(help="Of load, with --run.")]
WarmUp = Annotated[float, typer.Option(help="Seconds of load before that.")]
Tokens = Annotated[int | None, typer.Option(help="Texts of so many tokens. [of several lengths]")]
Seed = Annotated[int, typer.Option(help="Of the arrivals.")]
Device = Annotated[str | None, typer.Option(help="cpu or gpu. [the GPU where there is one]")]
KeepComputeMode = Annotated[
    bool, typer.Option("--keep-compute-mode", help="Leave the GPU's compute mode as it is.")
]
Periods = Annotated[Path | None, typer.Option(help="A CSV of rates that change: start_s, and each model's.")]
MakePart = Annotated[float, typer.Option(help="Seconds that making a part takes, with --periods.")]
Ahead = Annotated[
    bool, typer.Option("--ahead", help="Parts are made before a period begins, not from then on.")
]
