"""One measurement of one cell: its load, its place in the order, and how long it may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from experiments.plan.cell import Cell
from experiments.plan.defaults import ARRIVALS, LONGEST_LOOK_S

# For estimates: a model's load with all its workers, a run that is told in requests, a search for a rate in
# its longest looks (benchmarks/goodput.py).
LOADING_S = 6.0
REQUESTS_TAKE_S = 5.0
SEARCH_TAKES_LOOKS = 1.9


@dataclass(frozen=True, slots=True)
class Load:
    """The traffic of a trial.

    A closed loop keeps `connections` requests in flight, for `duration_s` or a number of `requests`. An open
    loop sends the cell's rate for `duration_s`, `arrivals` being poisson or constant, with so many in flight
    at most. With `slo`, such as p99=100ms, open loops of up to `duration_s` search for the highest rate that
    keeps it. What comes in the `warm_up_s` before is not counted. `processes` clients share the load.
    """

    connections: int
    duration_s: float | None
    requests: int | None
    warm_up_s: float
    arrivals: str = ARRIVALS[0]
    processes: int = 1
    slo: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement of one cell. `run` counts from 1, `position` is its place in the order from 0,
    `seed` that of the order of inputs. `attempt` counts from 0: a run that was disturbed, or failed for a
    cause that passed, is measured again."""

    cell: Cell
    load: Load
    run: int
    position: int
    seed: int
    attempt: int = 0


def estimated_s(trials: Sequence[Trial]) -> float:
    """How long measuring `trials` in this order may take, in seconds; the machine decides in the end."""
    loads = len(list(groupby(trials, key=lambda trial: (trial.cell.started_with, trial.cell.registration))))
    return sum(map(_takes_s, trials)) + loads * LOADING_S


def search_takes_s(longest_s: float = LONGEST_LOOK_S) -> float:
    """How long a search for the highest rate may take whose looks take `longest_s` at most, in seconds."""
    return SEARCH_TAKES_LOOKS * longest_s


def _takes_s(trial: Trial) -> float:
    if trial.load.slo:
        return search_takes_s(trial.load.duration_s or LONGEST_LOOK_S)
    return trial.load.warm_up_s + (trial.load.duration_s or REQUESTS_TAKE_S)
