"""`python -m mps.series`: several plans one after another, within a time limit, each with results of its own.

A door above mps.run, which measures each plan as a program of its own.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from experiments.base.errors import ExperimentError
from experiments.measure.series import Piece, carry_out_series, pieces_of
from mps.door import one_line_errors, to_stdout

HELP = """Measure a folder of plans one after another, the most valuable first, within a time limit.

Each plan NAME.yaml, in the order of the names, leaves a results folder OUT/NAME of its own. A plan that
probably does not fit into the time left is not begun; one that takes longer than expected is interrupted.
The same command again goes on where the last one ended, and measures nothing twice.

Examples:

  python -m mps.series plans/gpu --out results/gpu --minutes 25

  python -m mps.series plans/gpu --out results/gpu --minutes 9   # again and again, until all is measured

Exit codes: 0 all plans are measured; 1 something failed; 2 wrong usage; 3 the time is up, plans are left;
130 interrupted.
"""
TIME_IS_UP = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    plans: Annotated[Path, typer.Argument(help="Folder of plans, each a .yaml file.")],
    out: Annotated[Path, typer.Option(help="Folder for the results of all of them.")],
    minutes: Annotated[float, typer.Option(help="The time limit.")] = 25.0,
    keep_compute_mode: Annotated[
        bool, typer.Option("--keep-compute-mode", help="With MPS: leave the GPU's compute mode as it is.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="'cpu' or 'gpu': as of mps.run.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Index or UUID of the GPU, as of mps.run.")] = None,
) -> None:
    """See HELP."""
    console = to_stdout()
    with one_line_errors(lambda: f"what was measured is kept in {out}; the same command goes on with it"):
        pieces = pieces_of(plans, out)
        options = ["--keep-compute-mode"] if keep_compute_mode else []
        options += ["--device", device] if device else []
        options += ["--gpu", gpu] if gpu else []
        left, failed = carry_out_series(
            pieces,
            lambda piece: [*_command(piece), *options],
            ends_s=time.monotonic() + minutes * 60,
            tell=lambda line: console.print(line, markup=False),
            head=lambda line: console.rule(Text(line)),
        )
        if failed:
            raise ExperimentError(f"{', '.join(failed)} failed, as said above; the other plans were measured")
    if left:
        console.print(
            f"The time is up. Left: {', '.join(left)}; the same command goes on with them.", markup=False
        )
        raise typer.Exit(TIME_IS_UP)
    console.print(f"All {len(pieces)} plans are measured: {out}", markup=False)


def _command(piece: Piece) -> list[str]:
    """Begins the sweep of a piece, or goes on with it."""
    command = [sys.executable, "-m", "mps.run"]
    if piece.begun:
        return [*command, "--resume", str(piece.folder)]
    return [*command, "--plan", str(piece.plan_file), "--out", str(piece.folder)]


if __name__ == "__main__":
    app()
