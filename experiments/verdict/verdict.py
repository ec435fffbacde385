"""The second step: results -> a verdict, which is all that a terminal or a page tells of them.

A pure function of what a results folder holds. Figures, tables and sentences are made from it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from experiments.base.errors import ExperimentError
from experiments.measure.elsewhere import CLUSTER
from experiments.plan import Cell, Goal, Plan, Trial, goal_from
from experiments.results import Ceilings, Results, TrialResult, all_counting, by_cell, counting
from experiments.results.load_from import OWN_MACHINE, source_in
from experiments.search import Outcome, outcome, rules_of
from experiments.search.kept import kept_predictor
from experiments.search.race import standing
from experiments.verdict.advice import Advice, NoAdviceError, advise
from experiments.verdict.cards import spread_of_cards
from experiments.verdict.stats import Comparison, compare_all, noise_floor, runs_needed
from experiments.verdict.summary import summarise


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell with its row of the summary and the requests/s of each of its runs that count."""

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
class Verdict:
    """What results say. `cells` are those of the plan in its order, the twin included, `summary` their rows.

    `floor` is how far apart a cell and its twin are, as a ratio of 1 or more; None where there is no twin
    with runs. `pairs` are all cells with MPS that have a cell without to be compared with. `advice` is None
    where nothing can be advised; `no_advice` then says why. `card_spread` is how far apart the cards of a
    cluster are that measured one and the same cell, as a ratio of 1 or more: None where it was one card.
    """

    results: Results
    summary: pd.DataFrame
    cells: tuple[Measured, ...]
    floor: float | None
    pairs: tuple[Pair, ...]
    advice: Advice | None
    no_advice: str
    card_spread: float | None = None
    searched: Outcome | None = None

    @property
    def folder(self) -> Path:
        return self.results.folder

    @property
    def plan(self) -> Plan:
        return self.results.plan

    @property
    def trials(self) -> tuple[TrialResult, ...]:
        """What was measured."""
        return self.results.trials

    @property
    def environment(self) -> Mapping[str, Any]:
        return self.results.environment

    @property
    def ceilings(self) -> Ceilings | None:
        return self.results.ceilings

    @property
    def notes(self) -> tuple[str, ...]:
        """What reading the files gave rise to, where loads came from, how far apart a cluster's cards are."""
        notes = [*self.results.notes, *_about_loads(self)]
        if self.card_spread is None:
            return tuple(notes)
        apart = (
            f"{len(self.results.checks)} cards measured the first configuration: they are up to "
            f"{self.card_spread - 1:.1%} apart, and no smaller difference of two configurations counts"
        )
        return (*notes, apart)

    @property
    def missing(self) -> list[str]:
        """A line for each cell that was measured and has no valid run, with the reason of its last one."""
        runs = by_cell(self.trials)
        return [
            f"{cell}: {'; '.join(runs[cell][-1].problems)}"
            for cell in self.plan.cells()
            if cell in runs and not any(result.valid for result in runs[cell])
        ]

    @property
    def name(self) -> str:
        """The folder's name, by which several runs are told apart."""
        return self.folder.resolve().name

    @property
    def model(self) -> str:
        return self.plan.cells()[0].model

    @property
    def planned(self) -> list[Trial]:
        """What the plan asked for."""
        return self.plan.trials()

    @property
    def invalid(self) -> list[TrialResult]:
        return [result for result in self.trials if not result.valid]

    @property
    def disturbed(self) -> list[TrialResult]:
        """What something else on the machine had a part in."""
        return [result for result in self.trials if result.disturbed]

    @property
    def short(self) -> dict[Cell, int]:
        """The cells of which fewer runs are valid than were measured, with their number; none that has no
        valid run at all."""
        found = {}
        for cell, of_cell in by_cell(self.trials).items():
            valid = {result.trial.run for result in of_cell if result.valid}
            if 0 < len(valid) < len({result.trial.run for result in of_cell}):
                found[cell] = len(valid)
        return found

    @property
    def left(self) -> list[Trial]:
        """What the plan asked for and was not measured; of a search nothing."""
        if self.searched:
            return []
        done = {(result.trial.cell, result.trial.run) for result in self.trials}
        return [trial for trial in self.planned if (trial.cell, trial.run) not in done]

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
    def card(self) -> Mapping[str, Any] | None:
        """The GPU that was measured, of those of the machine; the first where the files don't tell which, and
        of a cluster, whose cards are alike."""
        device = self.environment.get("device")
        if device is None or device.startswith(CLUSTER):
            return self.gpus[0] if self.gpus else None
        return next((gpu for gpu in self.gpus if gpu.get("uuid") == device), None)

    @property
    def hardware(self) -> str:
        """The name of the GPU, or of the CPU, that was measured; said where the GPU was a stand-in."""
        if self.card:
            instance = ", its first MIG instance" if self.card.get("mig") else ""
            stand_in = " (a stand-in)" if self.stood_in_for else ""
            return f"{self.card.get('name') or 'GPU'}{instance}{stand_in}"
        cpu = self.environment.get("cpu")
        if not isinstance(cpu, dict):
            return "unknown machine"
        return f"{cpu.get('model') or 'an unknown CPU'}, {cpu.get('cores') or '?'} cores"

    @property
    def loads_from(self) -> str:
        """Where the loads came from, in words; runs in which that differs are not compared."""
        return source_in(self.environment)

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


def _about_loads(verdict: Verdict) -> list[str]:
    """Where loads came from other nodes: that they did, and the network that latencies hold."""
    if verdict.loads_from == OWN_MACHINE:
        return []
    taken_ms = [
        each.load_from.network_ms
        for each in verdict.trials
        if each.valid and each.load_from and each.load_from.network_ms is not None
    ]
    network = f": a TCP handshake took {median(taken_ms):.3g} ms there (median)" if taken_ms else ""
    return [f"loads came from {verdict.loads_from}; latencies hold the network between{network}"]


def judge(results: Results, goal: Goal | None = None) -> Verdict:
    """The verdict on `results`, for `goal` or that of their plan.

    Results that are partial or all invalid have a verdict too. Raises UsageError where a goal that was given
    can't be judged by them: a figure or a bound that was never measured.
    """
    cells = results.plan.cells()
    runs = by_cell(results.trials)
    summary = summarise(results.plan, results.trials, results.ceilings, _cores(results))
    measured = tuple(
        Measured(cell, row, tuple(run.throughput_rps for run in counting(runs.get(cell, ()))))
        for cell, row in zip(cells, _rows(summary), strict=True)
    )
    floor, spread = _floor(measured), spread_of_cards(results.checks)
    searched = _searched(results, goal)
    contenders = _contenders(results, searched)
    advice, no_advice = _advice(results, goal, max(floor or 1.0, spread or 1.0), contenders)
    pairs = _pairs(measured, floor or 1.0)  # both of a pair were measured on the same card
    return Verdict(results, summary, measured, floor, pairs, advice, no_advice, spread, searched)


def _cores(results: Results) -> float:
    """All cores that the machine let us use, a part of one too by a quota; 1 where nobody knows."""
    cpu = results.environment.get("cpu")
    return float(cpu.get("cores") or 1) if isinstance(cpu, dict) else 1


def _rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in summary.to_dict("records")]


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
    compared = compare_all([(on.rps, off.rps) for on, off in pairs], noise_floor=floor)
    return tuple(Pair(on.cell, off.cell, each) for (on, off), each in zip(pairs, compared, strict=True))


def _searched(results: Results, goal: Goal | None) -> Outcome | None:
    if not results.plan.search:
        return None
    rules = rules_of(results.plan)
    rules = replace(rules, goal=goal or rules.goal)
    return outcome(results.plan, results.trials, kept_predictor(results.folder), rules)


def _contenders(results: Results, searched: Outcome | None) -> Collection[Cell] | None:
    """Whom a race or a search could not rule out; None where all were measured as often."""
    if searched:
        return searched.standing.contenders
    plan = results.plan
    return standing(plan, results.trials, rules_of(plan)).contenders if plan.until_sure else None


def _advice(
    results: Results, goal: Goal | None, floor: float, contenders: Collection[Cell] | None
) -> tuple[Advice | None, str]:
    """The advice, or why there is none. Only a goal that was given now may be refused as unmeasurable."""
    plan, trials = results.plan, results.trials
    if not trials:
        return None, "nothing is measured yet"
    try:
        counted = all_counting(trials)
        return advise(counted, goal or goal_from(plan.goal), contenders=contenders, noise_floor=floor), ""
    except NoAdviceError as error:
        return None, str(error)
    except ExperimentError as error:
        if goal is not None:
            raise
        return None, str(error)
