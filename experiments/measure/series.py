"""Several plans one after another, within a time limit: what is due, and whether there is time for it.

Each plan is measured by a program of its own, whose command the caller knows.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import INTERRUPTED, ExperimentError, UsageError
from experiments.measure.next_trials import due
from experiments.plan import Plan, Trial, estimated_s, plan_from, settings_in
from experiments.results import read_plan, read_trials
from experiments.search.kept import kept_predictor

WIND_UP_S = 20.0  # for the sweep to stop its server and daemon, and to put the compute mode back
OPENING_S = 15.0  # of a sweep: Python, the first server, the summary at the end

Tell = Callable[[str], None]


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
        """The trials that are not measured yet; of a race or a search, what comes next."""
        return due(self.plan, read_trials(self.folder, self.plan), predictor=kept_predictor(self.folder))


def pieces_of(plans: Path, out: Path) -> list[Piece]:
    """A piece for each plan of a folder, in the order of their names. Raises UsageError without any."""
    files = sorted(plans.glob("*.yaml"))
    if not files:
        raise UsageError(f"no .yaml file in {plans}: give a folder of plans, such as plans/gpu")
    return [_piece(file, out / file.stem) for file in files]


def _piece(file: Path, folder: Path) -> Piece:
    begun = (folder / "plan.json").exists()
    return Piece(file, read_plan(folder) if begun else plan_from(settings_in(file)), folder, begun)


def carry_out_series(
    pieces: Sequence[Piece], command: Callable[[Piece], Sequence[str]], ends_s: float, tell: Tell, head: Tell
) -> tuple[list[str], list[str]]:
    """Measures what fits before `ends_s` on the clock of time.monotonic; `command` begins or resumes a piece.

    `head` hears of each piece that begins, `tell` of those that are measured already. Returns the names of
    the plans that are left for want of time, and of those that failed. Raises ExperimentError where the next
    one would fail too.
    """
    failed: list[str] = []
    pace = 1.0  # how long this machine takes for what is estimated to take a second
    for index, piece in enumerate(pieces):
        if not (estimate_s := estimated_s(piece.left())):
            tell(f"{piece.name}: measured already")
            continue
        began_s = time.monotonic()
        left_s = ends_s - began_s
        if OPENING_S + estimate_s * pace > left_s:
            return [piece.name for piece in pieces[index:]], failed
        head(f"{piece.name}: {index + 1} of {len(pieces)}, {left_s / 60:.1f} min left")
        code = _run(command(piece), timeout_s=left_s - WIND_UP_S)
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
