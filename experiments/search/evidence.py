"""What runs say, on log scale, to whoever decides what is measured next: the race and the search. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import inf, log, sqrt

import numpy as np
from scipy.special import stdtrit  # scipy.stats has it too, but takes a second to import

from experiments.base.arrays import Floats
from experiments.plan import Bound, Cell, Goal, Plan
from experiments.results.counting import best_attempts
from experiments.results.figures import known
from experiments.results.trial_result import TrialResult

Seen = Mapping[Cell, Sequence[TrialResult]]


@dataclass(frozen=True, slots=True)
class Standing:
    """Who can still be the best, the leader first; and of each other cell, why it cannot."""

    contenders: tuple[Cell, ...]
    ruled_out: Mapping[Cell, str]

    @property
    def sure(self) -> bool:
        """Whether a single cell is left, or none that meets the goal."""
        return len(self.contenders) <= 1


def attempts_of(plan: Plan, results: Sequence[TrialResult]) -> dict[Cell, list[TrialResult]]:
    """The results of each cell in the order of measuring; cells in the plan's order, that of servers.

    The twin does not count: the noise is known from the spread of all cells. Of a run that was measured more
    than once it is the attempt that tells most.
    """
    attempts: dict[Cell, list[TrialResult]] = {
        trial.cell: [] for trial in plan.trials() if not trial.cell.twin
    }
    for result in best_attempts(results):
        if result.trial.cell in attempts:
            attempts[result.trial.cell].append(result)
    return attempts


def free_runs(attempts: Sequence[TrialResult], runs: int) -> list[int]:
    """The numbers of the runs that make it so many in all; what was removed from the file comes anew."""
    taken = {result.trial.run for result in attempts}
    return list(islice((run for run in count(1) if run not in taken), max(0, runs - len(attempts))))


def logs_of(asked: Goal | Bound, runs: Sequence[TrialResult]) -> Floats:
    """The figures of the valid runs, where they were measured, on log scale."""
    return np.log([value for value in known(asked, (run for run in runs if run.valid)) if value])


def mean_of(values: Floats) -> float:
    """-inf for a cell that has no figure yet: it leads nobody."""
    return float(values.mean()) if values.size else -inf


def is_hopeless(runs: Sequence[TrialResult], goal: Goal) -> bool:
    """Whether two runs or more have given no figure."""
    return len(runs) > 1 and not logs_of(goal, runs).size


def why_hopeless(runs: Sequence[TrialResult], goal: Goal) -> str:
    """In words."""
    return f"no {goal.figure} in {len(runs)} runs"


def margin_of_one(logs: Mapping[Cell, Floats], level: float) -> float:
    """How far from the truth a single run is in at most `level` of all cases, on log scale, to one side.

    Student's t for the spread within cells, pooled over all of them; infinite while no cell has two runs.
    """
    repeated = [own for own in logs.values() if own.size > 1]
    freedom = sum(own.size - 1 for own in repeated)
    if not freedom:
        return inf
    spread = sqrt(sum(float(np.sum((own - own.mean()) ** 2)) for own in repeated) / freedom)
    return -float(stdtrit(freedom, level)) * spread


def comparisons(plan: Plan, goal: Goal) -> int:
    """In how many ways the best cell can be lost in one look: another is taken for better, or for keeping a
    bound, or itself for breaking one."""
    others, bounds = max(1, len(plan.cells()) - 1), len(goal.bounds)
    return others + bounds * (others + 1)


def leader_first(now: Standing, attempts: Seen, goal: Goal) -> Standing:
    """The leader is the one whose figures the advice would find the best."""

    def rank(cell: Cell) -> tuple[bool, float]:
        keeps = all(_median_log(bound, attempts[cell], inf) < log(bound.limit) for bound in goal.bounds)
        return not keeps, -_median_log(goal, attempts[cell], -inf)

    return Standing(tuple(sorted(now.contenders, key=rank)), now.ruled_out)


def measuring_time_s(results: Iterable[TrialResult]) -> float:
    """What these results took: warm-ups and measured windows, not the starts of servers and models."""
    return sum(result.trial.load.warm_up_s + result.window_s for result in results)


def expected_s(plan: Plan, earlier: Sequence[TrialResult], cell: Cell) -> float:
    """What a run of `cell` will take: as long as planned, or where requests are counted, as the last one."""
    load = plan.load_of(cell)
    if load.duration_s is not None:
        return load.warm_up_s + load.duration_s
    return measuring_time_s(earlier[-1:])


def _median_log(asked: Goal | Bound, runs: Sequence[TrialResult], unmeasured: float) -> float:
    logs = logs_of(asked, runs)
    return float(np.median(logs)) if logs.size else unmeasured
