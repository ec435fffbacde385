"""What do other engines than torch give our handlers on a CPU, alone and served?

`python -m benchmarks.engines` builds BERT-base with random weights for all of them and measures each engine
in each of its precisions, all in turns: the forward pass alone, and behind TorchServe, one worker on all
cores, texts of 60 tokens in batches of 8. It ends with a line of JSON: ratios of engines, served over alone,
how far each is from torch in fp32, and how far that is from fp64. Needs an otherwise idle machine, and
`make setup ENGINES=onnxruntime,openvino`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.parts import models
from benchmarks.parts.interleaved import Comparison, Effort, take_turns
from benchmarks.parts.served import Setup, host, settle, throughput_rps
from benchmarks.stock import multiplies_bf16
from experiments.ceilings.bare import bare_model
from experiments.load import Body
from experiments.serving.workers import torch_threads, worker_env
from handlers.archive.archives import CORPUS, build
from handlers.archive.engines.asked import Engines, why_missing
from handlers.archive.parity.differences import Parity
from handlers.archive.parity.inputs import our_texts
from handlers.archive.parity.measured import EXACT, measured, read_parity
from mps.door import one_line_errors

TOKENS, BATCH = 60, 8
ENGINES = Engines(("onnxruntime", "openvino"), int8=True, accept_parity=True)
SERVED_OVER_ALONE = "_served_over_alone"
COMPARED = {
    "onnxruntime_over_torch": ("onnxruntime fp32", "torch fp32"),
    "onnxruntime_int8_over_torch": ("onnxruntime int8", "torch fp32"),
    "openvino_over_torch": ("openvino fp32", "torch fp32"),
    "openvino_bf16_over_torch_bf16": ("openvino bf16", "torch bf16"),
}


@dataclass(frozen=True, slots=True)
class Rival:
    """An engine in a precision."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


RIVALS = (
    Rival("torch", "fp32"),
    Rival("torch", "bf16"),
    Rival("onnxruntime", "fp32"),
    Rival("onnxruntime", "int8"),
    Rival("openvino", "fp32"),
    Rival("openvino", "bf16"),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each engine, alone and served.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured in each run.")] = 4.0,
) -> None:
    """Measure BERT-base on each engine in turns, alone and served; the last line is one JSON object."""
    with one_line_errors():
        if why := why_missing(ENGINES):
            raise typer.BadParameter(why)
        found = compared(Effort(rounds, seconds))
    typer.echo(json.dumps({**found.marks, **found.ratios, "parity": [asdict(one) for one in found.parity]}))


@dataclass(frozen=True, slots=True)
class Found:
    """Ratios of throughput by name, how far each engine is from torch, and torch in fp32 from itself in fp64:
    so much of it is rounding."""

    ratios: Mapping[str, float]
    parity: Sequence[Parity]
    rounding: Parity

    @property
    def marks(self) -> dict[str, float | None]:
        """The figures that say most: served where it isn't said otherwise, the least and the worst of
        all engines. None for what this CPU has no arithmetic for."""
        fp32 = [one.decides for one in self.parity if one.precision == "fp32"]
        beside = [ratio for name, ratio in self.ratios.items() if name.endswith(SERVED_OVER_ALONE)]
        return {
            "onnxruntime_int8_over_torch": self.ratios["onnxruntime_int8_over_torch_served"],
            "openvino_bf16_over_torch_bf16": self.ratios.get("openvino_bf16_over_torch_bf16_served"),
            "parity_fp32_worst": max(fp32),
            "torch_fp32_from_fp64": self.rounding.decides,
            "served_over_bare_least": min(beside),
        }


def compared(effort: Effort) -> Found:
    """BERT-base with random weights on every engine. Raises BenchmarkError."""
    with tempfile.TemporaryDirectory() as folder:
        typer.echo("building BERT-base for each engine, and comparing their answers ...", err=True)
        archive = build("text", None, Path(folder), name="bert_base", engines=ENGINES)
        pool = models.texts(archive, TOKENS)
        rivals = [each for each in RIVALS if each.precision != "bf16" or multiplies_bf16()]
        found = ratios(measure(archive, rivals, pool, effort))
        typer.echo("torch in fp64 ...", err=True)
        ours = our_texts(CORPUS.read_text("utf-8").splitlines())
        (rounding,) = measured(archive, "text", [EXACT], ours, "ours", Path(folder))
        return Found(found, read_parity(archive), rounding)


def measure(
    archive: Path, rivals: Sequence[Rival], pool: Sequence[Body], effort: Effort
) -> dict[str, list[float]]:
    """Requests/s of each run, by 'onnxruntime int8, served' or '..., alone'."""
    setup = Setup(archive, 1, BATCH)
    with ExitStack() as stack:
        turns: dict[str, Callable[[], float]] = {}
        for rival in rivals:
            env = worker_env(torch_threads(1), rival.precision, rival.engine)
            server = stack.enter_context(host(env)).serve(setup)
            settle(server, setup, pool, effort)
            turns[f"{rival}, served"] = partial(throughput_rps, server, setup, pool, effort)
            alone = stack.enter_context(
                bare_model(archive, processes=1, threads=torch_threads(1), pool=pool, env=env)
            )
            alone.throughput(BATCH, effort.trial_s)  # loads the model
            turns[f"{rival}, alone"] = lambda alone=alone: (  # type: ignore[misc]
                alone.throughput(BATCH, effort.duration_s).throughput_rps
            )
            typer.echo(f"{rival} is ready", err=True)
        runs = take_turns(turns, effort.rounds)
    for name, figures in runs.items():
        typer.echo(f"{name}: {', '.join(f'{figure:.1f}' for figure in figures)} requests/s", err=True)
    return runs


def ratios(runs: dict[str, list[float]]) -> dict[str, float]:
    """The medians of COMPARED, alone and served, and of served over alone for each engine."""
    found: dict[str, Comparison] = {}
    for name, (ours, other) in COMPARED.items():
        for how in ("alone", "served"):
            if f"{ours}, {how}" in runs:
                found[f"{name}_{how}"] = Comparison(runs[f"{ours}, {how}"], runs[f"{other}, {how}"])
    for rival in RIVALS:
        if f"{rival}, served" in runs:
            name = f"{rival.engine}_{rival.precision}{SERVED_OVER_ALONE}"
            found[name] = Comparison(runs[f"{rival}, served"], runs[f"{rival}, alone"])
    for name, comparison in found.items():
        typer.echo(f"{name}: {comparison}", err=True)
    return {name: round(comparison.ratio, 3) for name, comparison in found.items()}


if __name__ == "__main__":
    app()
