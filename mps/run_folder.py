"""The results folder of a run: which it is, what it keeps, and how to go on with it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.plan import Plan
from experiments.results import read_plan, read_trials
from mps.run_options import plan_with


def plan_and_folder(
    settings: dict[str, Any], plan_file: Path | None, out: Path | None, resume: Path | None
) -> tuple[Plan, Path]:
    """The plan that is asked for, and the folder for its results. Raises UsageError."""
    if resume is None:
        plan = plan_with(plan_file, settings)
        return plan, out or ROOT / "results" / f"{datetime.now():%Y%m%d-%H%M%S}-{Path(plan.model).stem}"
    if settings or plan_file or out:
        raise UsageError(f"--resume takes the plan of {resume}: give no other option with it")
    return read_plan(resume), resume


def kept(folder: Path, plan: Plan) -> str:
    """How much of a plan is there, in words; nobody knows how many trials a race or a search takes."""
    found = len({(result.trial.cell, result.trial.run) for result in read_trials(folder)})
    of_all = "" if plan.adaptive else f" of {len(plan.trials())}"
    return f"{found}{of_all} trials are kept"


def say_how_to_go_on(error: ExperimentError, folder: Path, how: str) -> None:
    """Adds to an error what is kept, and the command to go on with."""
    if found := len(read_trials(folder)):
        error.args = (f"{error}; {found} trials are kept, go on with: {how}",)
