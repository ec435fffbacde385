"""`python -m mps.series`: several plans one after another, within a time limit, each with results of its own.

A door above mps.run, which measures each plan as a program of its own. Here is only what is due, and whether
there is time for it.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from experiments.base.errors import ExperimentError, UsageError
from experiments.measure.campaign import due
from experiments.plan.plan import Plan, Trial, estimated_s, plan_from
from experiments.plan.plan_file import settings_in
from experiments.results import folder as results

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
INTERRUPTED = 130
WIND_UP_S = 20.0  # for the sweep to stop its server and daemon, and to put the compute mode back
OPENING_S = 15.0  # of a sweep: Python, the first server, the summary at the end

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A plan of the series and where its results go."""

    plan_file: Path
    plan: Plan
    folder: Path
    begun: bool

    @property
    def name(self) -> str:
        return self.plan_file.stem

    def left(self) -> list[Trial]:
        """The trials that are not measured yet; of a race, those of the next round."""
        return due(self.plan, results.read_trials(self.folder))

    def command(self, options: Sequence[str]) -> list[str]:
        """Begins the sweep, or goes on with it."""
        command = [sys.executable, "-m", "mps.run"]
        if self.begun:
            return [*command, "--resume", str(self.folder), *options]
        return [*command, "--plan", str(self.plan_file), "--out", str(self.folder), *options]


@app.command(help=HELP)
def main(
    plans: Annotated[Path, typer.Argument(help="Folder of plans, each a .yaml file.")],
    out: Annotated[Path, typer.Option(help="Folder for the results of all of them.")],
    minutes: Annotated[float, typer.Option(help="The time limit.")] = 25.0,
    keep_compute_mode: Annotated[
        bool, typer.Option("--keep-compute-mode", help="With MPS: leave the GPU's compute mode as it is.")
    ] = False,
) -> None:
    """See HELP."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        pieces = _pieces(plans, out)
        options = ["--keep-compute-mode"] if keep_compute_mode else []
        left, failed = _carry_out(pieces, options, ends_s=time.monotonic() + minutes * 60)
    except KeyboardInterrupt:
        errors.print(f"interrupted: what was measured is kept in {out}; the same command goes on with it")
        raise typer.Exit(INTERRUPTED) from None
    except ExperimentError as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    if failed:
        errors.print(f"error: {', '.join(failed)} failed, as said above; the other plans were measured")
        raise typer.Exit(1)
    if left:
        names = ", ".join(left)
        console.print(f"The time is up. Left: {names}; the same command goes on with them.")
        raise typer.Exit(TIME_IS_UP)
    console.print(f"All {len(pieces)} plans are measured: {out}")


def _pieces(plans: Path, out: Path) -> list[Piece]:
    files = sorted(plans.glob("*.yaml"))
    if not files:
        raise UsageError(f"no .yaml file in {plans}: give a folder of plans, such as plans/gpu")
    return [_piece(file, out / file.stem) for file in files]


def _piece(file: Path, folder: Path) -> Piece:
    begun = (folder / "plan.json").exists()
    return Piece(file, results.read_plan(folder) if begun else plan_from(settings_in(file)), folder, begun)


def _carry_out(pieces: Sequence[Piece], options: Sequence[str], ends_s: float) -> tuple[list[str], list[str]]:
    """Measures what fits before `ends_s` on the clock of time.monotonic.

    Returns the names of the plans that are left for want of time, and of those that failed. Raises
    ExperimentError where the next one would fail too.
    """
    failed: list[str] = []
    pace = 1.0  # how long this machine takes for what is estimated to take a second
    for index, piece in enumerate(pieces):
        if not (estimate_s := estimated_s(piece.left())):
            console.print(f"{piece.name}: measured already")
            continue
        began_s = time.monotonic()
        left_s = ends_s - began_s
        if OPENING_S + estimate_s * pace > left_s:
            return [piece.name for piece in pieces[index:]], failed
        console.rule(f"{piece.name}: {index + 1} of {len(pieces)}, {left_s / 60:.1f} min left")
        code = _run(piece.command(options), timeout_s=left_s - WIND_UP_S)
        if code is None:
            return [piece.name for piece in pieces[index:]], failed
        if code in (UsageError.exit_code, INTERRUPTED):
            raise ExperimentError(f"{piece.name} ended with exit code {code}: see above")
        if code != 0:
            failed.append(piece.name)
        pace = max(0.1, (time.monotonic() - began_s - OPENING_S) / estimate_s)
    return [], failed


def _run(command: Sequence[str], timeout_s: float) -> int | None:
    """The exit code of the sweep; None where it had to be interrupted because the time was up."""
    # In a session of its own, so that Ctrl-C reaches it through us, once.
    with subprocess.Popen(command, start_new_session=True) as sweep:
        try:
            return sweep.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _wind_up(sweep)
            return None
        except KeyboardInterrupt:
            _wind_up(sweep)
            raise


def _wind_up(sweep: "subprocess.Popen[bytes]") -> None:
    sweep.send_signal(signal.SIGINT)
    try:
        sweep.wait(WIND_UP_S)
    except subprocess.TimeoutExpired:
        sweep.kill()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
