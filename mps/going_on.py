"""What a sweep that was stopped has kept, and how it goes on."""

from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.plan import Plan
from experiments.results import read_trials


def kept(folder: Path, plan: Plan) -> str:
    """How many of the plan's trials the folder holds, in words."""
    found = len({(result.trial.cell, result.trial.run) for result in read_trials(folder)})
    return f"{found} of {len(plan.trials())} trials are kept"


def say_how_to_go_on(error: ExperimentError, folder: Path, how: str) -> None:
    """Adds it to the error's message, where anything is kept."""
    if found := len(read_trials(folder)):
        error.args = (f"{error}; {found} trials are kept, go on with: {how}",)
