"""One results folder, read and judged: what a report tells of it.

Figures, tables and sentences are made from this; files are read here and nowhere else in the report.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from experiments.base.errors import ExperimentError
from experiments.ceilings.record import Ceilings, read_ceilings
from experiments.plan.plan import Cell, Plan, Trial
from experiments.results import folder as results
from experiments.results.folder import TrialResult
from experiments.verdict.advice import Advice, Goal, NoAdviceError, advise
from experiments.verdict.stats import CONFIDENCE, Comparison, compare_all, noise_floor, runs_needed
from experiments.verdict.summary import summary_of

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell with its row of the summary and the requests/s of each of its valid runs."""

    cell: Cell
    row: Mapping[str, Any]
    rps: tuple[float, ...]

    def known(self, column: str) -> float | None:
        """A figure of its row; None where it was not measured."""
        value = self.row.get(column)
        return None if value is None or not isfinite(value) else float(value)

    @property
    def median_rps(self) -> float:
        """Of its valid runs; NaN without one."""
        return float(self.row["throughput_rps_median"])


@dataclass(frozen=True, slots=True)
class Pair:
    """A cell with MPS against the same cell without it, on their throughput."""

    with_mps: Cell
    without: Cell
    comparison: Comparison

    @property
    def known(self) -> bool:
        """Whether both have valid runs."""
        return isfinite(self.comparison.ratio)


@dataclass(frozen=True, slots=True)
class Run:
    """A results folder. `cells` are those of the plan in its order, the twin included.

    `floor` is how far apart a cell and its twin are, as a ratio of 1 or more; None where there is no twin
    with runs. `pairs` are all cells with MPS that have a cell without to be compared with. `advice` is None
    where nothing can be advised; `no_advice` then says why. `notes` are what reading the files gave rise to.
    """

    folder: Path
    plan: Plan
    results: tuple[TrialResult, ...]
    environment: Mapping[str, Any]
    ceilings: Ceilings | None
    cells: tuple[Measured, ...]
    floor: float | None
    pairs: tuple[Pair, ...]
    advice: Advice | None
    no_advice: str
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name, by which several runs are told apart."""
        return self.folder.resolve().name

    @property
    def model(self) -> str:
        return self.plan.cells()[0].model

    @property
    def trials(self) -> list[Trial]:
        """What the plan asked for."""
        return self.plan.trials()

    @property
    def invalid(self) -> list[TrialResult]:
        return [result for result in self.results if not result.valid]

    @property
    def left(self) -> list[Trial]:
        """What the plan asked for and was not measured."""
        done = {(result.trial.cell, result.trial.run) for result in self.results}
        return [trial for trial in self.trials if (trial.cell, trial.run) not in done]

    @property
    def grid(self) -> list[Measured]:
        """The cells that are configurations of their own and have a valid run."""
        return [measured for measured in self.cells if measured.rps and not measured.cell.twin]

    @property
    def archive(self) -> Mapping[str, Any]:
        """What is known of the archive that was served."""
        return self.environment.get("archive") or {}

    @property
    def kind(self) -> str:
        """What the model takes: text, image or unknown."""
        return str(self.archive.get("kind", "unknown"))

    @property
    def gpus(self) -> list[Mapping[str, Any]]:
        return list(self.environment.get("gpus") or [])

    @property
    def hardware(self) -> str:
        """The GPU's name, or the CPU's on a machine without one; said where the GPU was a stand-in."""
        if self.gpus:
            return f"{self.gpus[0].get('name', 'GPU')}{' (a stand-in)' if self.stood_in_for else ''}"
        cpu = self.environment.get("cpu")
        if not isinstance(cpu, dict):
            return "unknown machine"
        return f"{cpu.get('model', 'CPU')}, {cpu.get('cores', '?')} cores"

    @property
    def stood_in_for(self) -> bool:
        """Whether the GPU was a stand-in of the tests."""
        return bool(self.environment.get("gpu_is_stood_in_for"))

    @property
    def random_weights(self) -> bool:
        return bool(self.archive.get("random_weights"))

    @property
    def started_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.environment["started_at"])
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def runs_for_all_pairs(self) -> int:
        """The runs of each cell that a verdict on a single one of the pairs takes, all pairs allowed for."""
        return runs_needed(len(self.pairs)) if self.pairs else 1

    def measured(self, cell: Cell) -> Measured:
        """One of the plan's cells."""
        return next(measured for measured in self.cells if measured.cell == cell)

    def pair_at(self, cell: Cell) -> Pair | None:
        """The first pair that `cell` is in, of those with valid runs of both."""
        return next(
            (pair for pair in self.pairs if pair.known and cell in (pair.with_mps, pair.without)), None
        )


def read(folder: Path, goal: Goal | None = None) -> Run:
    """Reads a results folder. Raises UsageError, ExperimentError for what can't be read or judged."""
    plan = results.read_plan(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trials = results.read_trials(folder)
    ceilings, no_ceilings = _or_problem(lambda: read_ceilings(folder))
    environment, no_environment = _or_problem(lambda: _environment(folder))
    cells = _cells(plan, trials, ceilings, environment or {})
    floor = _floor(cells)
    advice, no_advice = _advice(trials, goal or Goal(), floor)
    notes = [*(str(warning.message) for warning in caught), no_ceilings, no_environment]
    return Run(
        folder=folder,
        plan=plan,
        results=tuple(trials),
        environment=environment or {},
        ceilings=ceilings,
        cells=cells,
        floor=floor,
        pairs=_pairs(cells, floor or 1.0),
        advice=advice,
        no_advice=no_advice,
        notes=tuple(note for note in notes if note),
    )


def _or_problem(reading: Callable[[], Read]) -> tuple[Read | None, str]:
    """What is read, or the reason why not: a report can do without it."""
    try:
        return reading(), ""
    except ExperimentError as error:
        return None, str(error)


def _environment(folder: Path) -> Mapping[str, Any]:
    told: object = results.read_environment(folder)
    if not isinstance(told, dict):
        raise ExperimentError(f"{folder}/environment.json can't be read: it holds no object")
    return told


def _cells(
    plan: Plan, trials: Sequence[TrialResult], ceilings: Ceilings | None, environment: Mapping[str, Any]
) -> tuple[Measured, ...]:
    figures: dict[Cell, list[float]] = {}
    for result in trials:
        if result.valid:
            figures.setdefault(result.trial.cell, []).append(result.throughput_rps)
    cpu = environment.get("cpu")
    cores = int(cpu.get("cores") or 1) if isinstance(cpu, dict) else 1
    rows = summary_of(plan, trials, ceilings, cores).to_dict("records")
    return tuple(
        Measured(cell, {str(name): value for name, value in row.items()}, tuple(figures.get(cell, ())))
        for cell, row in zip(plan.cells(), rows, strict=True)
    )


def _floor(cells: Sequence[Measured]) -> float | None:
    own = {measured.cell: measured.rps for measured in cells}
    for measured in cells:
        first = own.get(replace(measured.cell, twin=False), ())
        if measured.cell.twin and measured.rps and first:
            return noise_floor(first, measured.rps)
    return None


def _pairs(cells: Sequence[Measured], floor: float) -> tuple[Pair, ...]:
    """Every cell with MPS beside the one without that is otherwise equal."""
    without = {each.cell: each for each in cells if not each.cell.mps}
    pairs = [
        (each, without[each.cell.without_mps])
        for each in cells
        if each.cell.mps and each.cell.without_mps in without
    ]
    compared = compare_all([(on.rps, off.rps) for on, off in pairs], confidence=CONFIDENCE, noise_floor=floor)
    return tuple(Pair(on.cell, off.cell, each) for (on, off), each in zip(pairs, compared, strict=True))


def _advice(trials: Sequence[TrialResult], goal: Goal, floor: float | None) -> tuple[Advice | None, str]:
    if not trials:
        return None, "nothing is measured yet"
    try:
        return advise(trials, goal, noise_floor=floor or 1.0), ""
    except NoAdviceError as error:
        return None, str(error)
