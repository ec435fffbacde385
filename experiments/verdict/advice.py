"""Results and a goal -> the configuration to use, and how sure that is.

What is a difference and what is noise is decided in stats.py, how the advice reads in sentence.py, and
what to write into which file in deploy.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Cell, Goal
from experiments.plan.defaults import CONFIDENCE
from experiments.plan.goal import MEASURES
from experiments.results.figures import known
from experiments.results.trial_result import TrialResult
from experiments.verdict import ties
from experiments.verdict.stats import Comparison, Median, compare, compare_with_best, median_of, runs_needed

KNEE_SHARE = 0.95  # of the best: what the smallest batch must reach


class NoAdviceError(ExperimentError):
    """No configuration was measured that meets the goal."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A configuration that keeps the bounds: its valid runs' figures in UNITS, and their median."""

    cell: Cell
    figures: tuple[float, ...]
    median: Median
    torch_threads: int
    on_gpu: bool


@dataclass(frozen=True, slots=True)
class Advice:
    """What to use. With `confidence` the truly best configuration is `best` or one of `rivals`.

    `margin` compares the best with the runner-up, as a pair by itself. `knee` has the smallest batch of all
    within 5 % of the best. `passed_over` had a higher median, within noise, behind another server or on
    another engine than `best`, which is nearer to TorchServe and torch. `excluded` says of each other cell
    why it is out of the question; `notes` are lines to print too. Figures are in `unit`.
    """

    goal: Goal
    unit: str
    confidence: float
    best: Rated
    rivals: tuple[Rated, ...]
    runner_up: Rated | None
    margin: Comparison | None
    knee: Rated
    excluded: Mapping[Cell, str]
    notes: tuple[str, ...]
    passed_over: Rated | None = None


def advise(
    results: Sequence[TrialResult],
    goal: Goal,
    *,
    contenders: Collection[Cell] | None = None,
    noise_floor: float = 1.0,
    confidence: float = CONFIDENCE,
) -> Advice:
    """The best of the cells in `results` for `goal`; a cell keeps a bound when the median of its runs does.

    Rivals are judged from the runs alone, unless a campaign that stopped measuring some cells early says by
    `contenders` which ones it could not rule out (search/race.py). `noise_floor` is the ratio of a cell to
    itself. Raises UsageError when the goal's figure or a bound was never measured, NoAdviceError when no cell
    meets the goal.
    """
    runs = _valid_runs(results)
    _check_measured(goal, runs)
    excluded = {cell: why for cell, of_cell in runs.items() if (why := _obstacle(goal, of_cell))}
    rated = [_rated(goal, cell, runs[cell]) for cell in runs if cell not in excluded]
    if not rated:
        raise NoAdviceError(f"nothing that was measured meets the goal '{goal}': {_nearest(goal, runs)}")
    finalists = [each for each in rated if contenders is not None and each.cell in contenders]
    running = finalists or rated
    leader, compared = compare_with_best(
        [each.figures for each in running], confidence=confidence, noise_floor=noise_floor
    )
    first = running[leader]
    if finalists:
        compared = {}  # who is a rival is decided already
    slower = {running[i].cell for i, each in compared.items() if each.verdict == "better"}
    level = [each for each in running if each is not first and each.cell not in slower]
    best = ties.settled(first, level, confidence, noise_floor)
    rivals = [each for each in (first, *level) if each is not best]
    others = sorted((each for each in rated if each is not best), key=_median, reverse=True)
    return Advice(
        goal=goal,
        unit=goal.unit(runs),
        confidence=confidence,
        best=best,
        rivals=tuple(sorted(rivals, key=_median, reverse=True)),
        runner_up=others[0] if others else None,
        margin=compare(best.figures, others[0].figures, confidence=confidence) if others else None,
        knee=_knee(best, rated),
        excluded=excluded,
        notes=(
            *([] if best is first else [ties.worth(first, best, confidence)]),
            *_notes(goal, runs[best.cell], compared, confidence),
        ),
        passed_over=None if best is first else first,
    )


def _valid_runs(results: Sequence[TrialResult]) -> dict[Cell, list[TrialResult]]:
    runs: dict[Cell, list[TrialResult]] = {}
    for result in results:
        if result.trial.cell.twin:  # the same configuration as another cell
            continue
        runs.setdefault(result.trial.cell, []).extend([result] if result.valid else [])
    return runs


def _check_measured(goal: Goal, runs: Mapping[Cell, Sequence[TrialResult]]) -> None:
    valid = [result for of_cell in runs.values() for result in of_cell]
    if not valid:
        raise NoAdviceError("no configuration has a valid run: see the problems of the trials")
    if not known(goal, valid):
        raise UsageError(
            f"no energy was measured, so there is no {goal.figure}: that needs a GPU that tells its power"
        )
    for bound in goal.bounds:
        if not known(bound, valid):
            hint = ": bound the workers' resident memory with rss<..." if bound.name == "memory" else ""
            raise UsageError(f"{MEASURES[bound.name]} was not measured, so it has no bound{hint}")


def _obstacle(goal: Goal, runs: Sequence[TrialResult]) -> str:
    """Why a cell with these valid runs can't be advised; empty where it can."""
    if not runs:
        return "no valid run"
    if not known(goal, runs):
        return "no energy was measured"
    for bound in goal.bounds:
        if not (values := known(bound, runs)):
            return f"{MEASURES[bound.name]} was not measured"
        if (value := float(np.median(values))) >= bound.limit:
            return f"{bound.name} is {bound.written(value)}, not below {bound.written(bound.limit)}"
    return ""


def _nearest(goal: Goal, runs: Mapping[Cell, Sequence[TrialResult]]) -> str:
    for bound in goal.bounds:
        medians = {cell: np.median(figures) for cell, of in runs.items() if (figures := known(bound, of))}
        least = min(medians, key=lambda cell: medians[cell])
        if medians[least] >= bound.limit:
            return f"the least {bound.name} is {bound.written(float(medians[least]))} ({least})"
    return "each bound is kept somewhere, but not all by one configuration"


def _rated(goal: Goal, cell: Cell, runs: Sequence[TrialResult]) -> Rated:
    figures = known(goal, runs)
    on_gpu = any(run.telemetry and run.telemetry.gpu_memory_bytes_total is not None for run in runs)
    return Rated(cell, tuple(figures), median_of(figures), runs[-1].torch_threads, cell.mps or on_gpu)


def _median(rated: Rated) -> float:
    return rated.median.median


def _knee(best: Rated, rated: Sequence[Rated]) -> Rated:
    """Of the same server; among equally small batches the one with fewer workers, then the faster one."""
    own = [each for each in rated if each.cell.server == best.cell.server]
    near = [each for each in own if _median(each) >= KNEE_SHARE * _median(best)]
    return min(near, key=lambda each: (each.cell.batch_size, each.cell.workers, -_median(each)))


def _notes(
    goal: Goal, of_best: Sequence[TrialResult], compared: Mapping[int, Comparison], confidence: float
) -> Iterator[str]:
    for bound in goal.bounds:
        figures = known(bound, of_best)
        kept = sum(value < bound.limit for value in figures)
        if kept < len(figures):
            yield f"{bound} holds in {kept} of the {len(figures)} runs of the best configuration only"
    if any(comparison.verdict == "not enough runs" for comparison in compared.values()):
        needed = runs_needed(len(compared), confidence)
        yield f"to tell the best of {len(compared) + 1} configurations takes {needed} runs of each, or more"
