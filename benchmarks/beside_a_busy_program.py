"""What measuring disturbed runs again is worth: a sweep alone, and beside a program that works in bursts.

`python -m benchmarks.beside_a_busy_program`, on an otherwise idle machine. The sweep beside the bursts is
judged twice: with all that it measured, and with the first attempt of each run alone, as if nothing were
measured again and everything counted. The last line is one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.results import Results, read
from experiments.search.evidence import measuring_time_s
from experiments.verdict import Verdict, judge, verdict_sentence

SHORT = ("--duration", "1", "--warm-up", "0.5", "--runs", "5", "--workers", "1,2", "--batch-size", "1,4")
# Two seconds of work and three of sleep on average, each between half and one and a half of that.
BURSTS = """
import random, sys, time
chance = random.Random(int(sys.argv[1]))
while True:
    until_s = time.monotonic() + 2 * chance.uniform(0.5, 1.5)
    while time.monotonic() < until_s:
        pass
    time.sleep(3 * chance.uniform(0.5, 1.5))
"""


@contextmanager
def busy_program(seed: int) -> Iterator[None]:
    """A program that is no part of the sweep, and uses one core now and then."""
    with subprocess.Popen([sys.executable, "-c", BURSTS, str(seed)]) as program:
        try:
            yield
        finally:
            program.kill()


def swept(model: str, folder: Path) -> Results:
    """The results of a small sweep. Raises ExperimentError where it fails."""
    command = [sys.executable, "-m", "mps.run", "--model", model, "--out", str(folder), *SHORT]
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
    if done.returncode:
        raise ExperimentError(f"the sweep ended with exit code {done.returncode}: see above")
    return read(folder)


def first_attempts(results: Results) -> Results:
    """As if nothing were measured again, and what was disturbed counted like the rest."""
    first = [replace(each, disturbances=()) for each in results.trials if not each.trial.attempt]
    return replace(results, trials=tuple(first))


def off(judged: Verdict, alone: Verdict) -> list[float]:
    """How far each cell's median is from that of the quiet machine, as a share of it."""
    return [
        each.median_rps / quiet.median_rps - 1
        for each, quiet in zip(judged.cells, alone.cells, strict=True)
        if each.rps and quiet.rps
    ]


def main(
    model: Annotated[str, typer.Option(help="What to serve, as for mps.run.")] = "bert",
    seed: Annotated[int, typer.Option(help="Of the bursts.")] = 0,
) -> None:
    """Sweeps alone and beside a busy program; tells verdicts, medians, and what it costs."""
    try:
        with tempfile.TemporaryDirectory(prefix="beside-a-busy-program-") as name:
            alone = judge(swept(model, Path(name) / "alone"))
            with busy_program(seed):
                beside = judge(swept(model, Path(name) / "beside"))
    except ExperimentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    once = judge(first_attempts(beside.results))
    told = {}
    for what, judged in (("alone", alone), ("beside, once", once), ("beside, again", beside)):
        shares = [abs(share) for share in off(judged, alone)]
        typer.echo(f"{what}: {verdict_sentence(judged)}")
        typer.echo(f"  medians off by {median(shares):.1%} in the middle, {max(shares):.1%} at most")
        told[what] = {
            "best": str(judged.advice.best.cell) if judged.advice else None,
            "runs": len(judged.trials),
            "disturbed": sum(each.disturbed for each in judged.trials),
            "measuring_s": round(measuring_time_s(judged.trials), 1),
            "off_median": round(median(shares), 4),
            "off_most": round(max(shares), 4),
        }
    typer.echo(json.dumps(told))


if __name__ == "__main__":
    typer.run(main)
