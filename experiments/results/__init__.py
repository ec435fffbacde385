"""The files of a results folder, and the values in them: written, and read back.

Nothing here measures or judges: what the figures say is found in verdict/, how they look in report/.
"""

from experiments.results.ceilings import Ceiling, Ceilings, read_ceilings
from experiments.results.counted import Counted
from experiments.results.counting import all_counting, best_attempts, by_cell, counting
from experiments.results.folder import (
    Results,
    create,
    read,
    read_environment,
    read_plan,
    read_trials,
    write_environment,
    write_summary,
)
from experiments.results.telemetry import FRONTEND, LOAD_GENERATOR, WORKERS, Telemetry
from experiments.results.trial_result import PERCENTILES, TrialResult

__all__ = [
    "FRONTEND",
    "LOAD_GENERATOR",
    "PERCENTILES",
    "WORKERS",
    "Ceiling",
    "Ceilings",
    "Counted",
    "Results",
    "Telemetry",
    "TrialResult",
    "all_counting",
    "best_attempts",
    "by_cell",
    "counting",
    "create",
    "read",
    "read_ceilings",
    "read_environment",
    "read_plan",
    "read_trials",
    "write_environment",
    "write_summary",
]
