"""Are a GPU's products right where MPS holds a process to a share of it?

`python -m benchmarks.answers_under_shares --out answers.json` starts a control daemon of its own and a
process for each share, and compares what that calculates with the CPU's float64. Public reports name shares
at which half-precision products on Hopper leave part of their output unwritten, with success returned. The
GPU's compute mode stays as it is. Needs a GPU and NVIDIA's control daemon.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.base.paths import ROOT
from experiments.serving.workers import share_env
from mps.card import gpu
from mps.control import PIPE_VARIABLE, mps_daemon
from mps.door import one_line_errors

SHARES = (5, 10, 14, 18, 22, 25, 28, 34, 40, 46, 50, 52, 60, 70, 80, 89, 95, 100)
RIGHT_UP_TO = {"fp32": 1e-5, "tf32": 2e-3, "fp16": 1e-2, "bf16": 1e-2}
AT_ONCE = 4
TIMEOUT_S = 90

Answer = dict[str, Any]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    out: Annotated[Path, typer.Option(help="File for the figures, as JSON.")] = Path("answers.json"),
    shares: Annotated[str, typer.Option(help="Percent of the multiprocessors, e.g. 25,50.")] = ",".join(
        map(str, SHARES)
    ),
) -> None:
    """See the module's docstring."""
    with one_line_errors():
        answers = measure([int(share) for share in shares.split(",")])
        out.write_text(json.dumps(answers, indent=1), "utf-8")
    _show(answers)


def measure(shares: Sequence[int]) -> dict[str, Any]:
    """What processes with each share calculate, and one without MPS. Raises ExperimentError without a GPU."""
    card = gpu()
    with (
        tempfile.TemporaryDirectory(prefix="no-mps-") as nowhere,
        mps_daemon(device=card.uuid) as daemon,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        without = pool.submit(_answer_of, {PIPE_VARIABLE: nowhere})
        with_share = [
            pool.submit(_answer_of, {**daemon.env, "CUDA_VISIBLE_DEVICES": "0", **share_env(share)})
            for share in shares
        ]
        answers = [{"share": None, **without.result()}]
        answers += [{"share": share, **one.result()} for share, one in zip(shares, with_share, strict=True)]
    return {"gpu": card.name, "driver": card.driver, "answers": answers}


def wrong(answer: Answer) -> list[str]:
    """The operations whose result is not what the precision allows for; unwritten ones are None."""
    return [
        name
        for name, error in answer.get("relative_errors", {}).items()
        if error is None or error > RIGHT_UP_TO[name.split()[0]]
    ]


def _answer_of(env: Mapping[str, str]) -> Answer:
    """What one process tells, or `failed`: the last line it printed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.parts.products"],
            cwd=ROOT,
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {TIMEOUT_S} s"}
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]}
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


def _show(told: dict[str, Any]) -> None:
    table = Table(box=box.SIMPLE, title=f"{told['gpu']}, driver {told['driver']}: wrong results")
    for heading in ("share", "SMs", "worst fp32", "tf32", "fp16", "bf16", "wrong"):
        table.add_column(heading, justify="right")
    for answer in told["answers"]:
        share = "no MPS" if answer["share"] is None else f"{answer['share']} %"
        if "failed" in answer:
            table.add_row(share, "", "", "", "", "", answer["failed"])
            continue
        errors = answer["relative_errors"]
        worst = [_worst([error for name, error in errors.items() if name.startswith(p)]) for p in RIGHT_UP_TO]
        counted = f"{len(wrong(answer))} of {len(errors)}"
        table.add_row(share, str(answer["multiprocessors"]), *worst, counted)
    Console().print(table)


def _worst(errors: Sequence[float | None]) -> str:
    known = [error for error in errors if error is not None]
    return f"{max(known):.1e}" if len(known) == len(errors) else "unwritten"


if __name__ == "__main__":
    app()
