"""Results and a goal -> the configuration to use: how sure that is, and what to write into which file.

A goal names the figure to make large and the bounds to keep: 'throughput with p99<100ms and memory<8GiB'.
What is a difference and what is noise is decided in stats.py. Nothing here measures or draws.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Literal, NoReturn, cast

import numpy as np

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.plan.plan import Cell
from experiments.results.folder import TrialResult
from experiments.serving.arms import share_env
from experiments.verdict.stats import (
    CONFIDENCE,
    Comparison,
    Median,
    compare,
    compare_with_best,
    median_of,
    noise_floor,
    runs_needed,
)
from experiments.watch.telemetry import WORKERS, Telemetry
from mps.control.daemon import CONTROL

MOST_NAMED = 3  # rivals in a sentence
KNEE_SHARE = 0.95  # of the best: what the smallest batch must reach

Figure = Literal["throughput", "requests per joule"]
UNITS: Mapping[Figure, str] = {"throughput": "requests/s", "requests per joule": "requests/J"}

# What can be bounded, and its units with their size in the first of them.
_LATENCY = {"ms": 1.0, "s": 1e3}
_MEMORY = {"b": 1.0, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "kb": 1e3, "mb": 1e6, "gb": 1e9}
BOUNDABLE = {"p50": _LATENCY, "p95": _LATENCY, "p99": _LATENCY, "memory": _MEMORY, "rss": _MEMORY}
MEASURES = {"p50": "p50", "p95": "p95", "p99": "p99", "memory": "GPU memory", "rss": "resident memory"}
EXAMPLES = "'throughput', 'throughput with p99<100ms', 'requests per joule', 'memory<8GiB'"
_BOUND = re.compile(r"(?P<name>[a-z]\w*)\s*<=?\s*(?P<number>\d+\.?\d*(e[+-]?\d+)?)\s*(?P<unit>[a-z]*)")


class NoAdviceError(ExperimentError):
    """No configuration was measured that meets the goal."""


@dataclass(frozen=True, slots=True)
class Bound:
    """`name` is to stay below `limit`, in ms or bytes: p50, p95, p99; memory (the GPU's in use, as a whole);
    rss (resident memory of the workers)."""

    name: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}<{self.written(self.limit, exact=True)}"

    def written(self, value: float, *, exact: bool = False) -> str:
        """A value in this bound's unit."""
        unit, size = ("ms", 1.0) if "ms" in BOUNDABLE[self.name] else ("GiB", 2.0**30)
        short = f"{value / size:.4g}"
        return (repr(value / size) if exact and float(short) * size != value else short) + unit

    def of(self, result: TrialResult) -> float | None:
        """The bounded value of one run; None where it was not measured."""
        if self.name in result.latency_ms:
            return result.latency_ms[self.name]
        telemetry = result.telemetry or Telemetry()
        values = {"memory": telemetry.gpu_memory_bytes_total, "rss": telemetry.rss_bytes.get(WORKERS)}
        return values.get(self.name)


@dataclass(frozen=True, slots=True)
class Goal:
    """The figure to make as large as possible while every bound holds."""

    figure: Figure = "throughput"
    bounds: tuple[Bound, ...] = ()

    def __str__(self) -> str:
        return self.figure + (f" with {' and '.join(map(str, self.bounds))}" if self.bounds else "")

    def of(self, result: TrialResult) -> float | None:
        """The figure of one run; None where it was not measured. Every input of a request counts."""
        inputs = result.trial.cell.client_batch
        if self.figure == "throughput":
            return result.throughput_rps * inputs
        energy_j = result.telemetry and result.telemetry.energy_j_per_1000_requests
        return 1000 / energy_j * inputs if energy_j else None

    def unit(self, cells: Iterable[Cell]) -> str:
        """Of the figures of these cells."""
        several = any(cell.client_batch > 1 for cell in cells)
        return UNITS[self.figure].replace("requests", "inputs") if several else UNITS[self.figure]


def goal_from(text: str) -> Goal:
    """Reads a goal: a figure, bounds, or both joined by 'with'; bounds are joined by 'and' or a comma.

    Bounds alone are bounds on throughput; '<=' says the same as '<'. Raises UsageError for anything else.
    """
    figure, given, bounds = " ".join(text.lower().split()).partition(" with ")
    if figure in UNITS and not given:
        return Goal(cast(Figure, figure))
    if not given:
        figure, bounds = "throughput", figure
    if figure not in UNITS:
        _refuse(text, f"{figure!r} is no figure to make large, they are {_or(UNITS)}")
    read = tuple(_bound_from(part.strip(), text) for part in re.split(r",| and ", bounds))
    if len({bound.name for bound in read}) < len(read):
        _refuse(text, "it bounds one thing twice")
    return Goal(cast(Figure, figure), read)


def _bound_from(part: str, text: str) -> Bound:
    match = _BOUND.fullmatch(part)
    if match is None:
        _refuse(text, f"can't read {part!r}")
    name, unit = match["name"], match["unit"]
    if name not in BOUNDABLE:
        _refuse(text, f"{name!r} can't be bounded, only {_or(BOUNDABLE)}")
    if unit not in BOUNDABLE[name]:
        named = f"{unit!r} is no unit of {name}" if unit else f"{name} needs a unit"
        _refuse(text, f"{named}: write {_or(BOUNDABLE[name])}")
    limit = float(match["number"]) * BOUNDABLE[name][unit]
    if not limit > 0 or not isfinite(limit):
        _refuse(text, f"the bound of {name} must be above 0 and finite")
    return Bound(name, limit)


def _refuse(text: str, why: str) -> NoReturn:
    raise UsageError(f"--goal {text!r}: {why}; goals are like {EXAMPLES}")


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _some(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    if len(words) <= MOST_NAMED:
        return _or(words)
    return _or([*words[:MOST_NAMED], f"{len(words) - MOST_NAMED} others"])


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
    within 5 % of the best. `excluded` says of each other cell why it is out of the question; `notes` are
    lines to print too. Figures are in `unit`.
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
    `contenders` which ones it could not rule out (measure/race.py). `noise_floor` is the ratio of a cell to
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
    best = running[leader]
    if finalists:
        compared = {}  # who is a rival is decided already
    slower = {running[i].cell for i, each in compared.items() if each.verdict == "better"}
    rivals = [each for each in running if each is not best and each.cell not in slower]
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
        notes=tuple(_notes(goal, runs[best.cell], compared, confidence)),
    )


def measured_noise(results: Sequence[TrialResult], goal: Goal | None = None) -> float:
    """How far apart the cell that was measured twice is from itself, as a ratio of 1 or more; 1 if none."""
    goal = goal or Goal()
    figures: dict[bool, list[float]] = {False: [], True: []}
    twin = next((result.trial.cell for result in results if result.trial.cell.twin), None)
    for result in results:
        cell = result.trial.cell
        if twin and result.valid and replace(cell, twin=True) == twin:
            figures[cell.twin] += _known(goal, [result])
    return noise_floor(figures[False], figures[True])


def sentence(advice: Advice) -> str:
    """The advice in one sentence."""
    best = advice.best
    text = f"use {best.cell}: {amount(best.median.median)} {advice.unit}"
    if advice.runner_up is not None and advice.margin is not None:
        margin = advice.margin
        text += (
            f", {margin.ratio:.2f} times that of {advice.runner_up.cell}"
            f" ({margin.low:.2f} to {margin.high:.2f} with {margin.confidence:.1%} confidence)"
        )
    if advice.rivals:
        text += f"; not shown to be better than {_some([str(rival.cell) for rival in advice.rivals])}"
    return text


def amount(figure: float) -> str:
    """A figure with three digits or all before the point: 0.0523, 18.2, 1,234."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


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
    if not _known(goal, valid):
        raise UsageError(
            f"no energy was measured, so there is no {goal.figure}: that needs a GPU that tells its power"
        )
    for bound in goal.bounds:
        if not _known(bound, valid):
            hint = ": bound the workers' resident memory with rss<..." if bound.name == "memory" else ""
            raise UsageError(f"{MEASURES[bound.name]} was not measured, so it has no bound{hint}")


def _obstacle(goal: Goal, runs: Sequence[TrialResult]) -> str:
    """Why a cell with these valid runs can't be advised; empty where it can."""
    if not runs:
        return "no valid run"
    if not _known(goal, runs):
        return "no energy was measured"
    for bound in goal.bounds:
        if not (values := _known(bound, runs)):
            return f"{MEASURES[bound.name]} was not measured"
        if (value := float(np.median(values))) >= bound.limit:
            return f"{bound.name} is {bound.written(value)}, not below {bound.written(bound.limit)}"
    return ""


def _nearest(goal: Goal, runs: Mapping[Cell, Sequence[TrialResult]]) -> str:
    for bound in goal.bounds:
        medians = {cell: np.median(known) for cell, of in runs.items() if (known := _known(bound, of))}
        least = min(medians, key=lambda cell: medians[cell])
        if medians[least] >= bound.limit:
            return f"the least {bound.name} is {bound.written(float(medians[least]))} ({least})"
    return "each bound is kept somewhere, but not all by one configuration"


def _known(asked: Goal | Bound, runs: Sequence[TrialResult]) -> list[float]:
    return [value for run in runs if (value := asked.of(run)) is not None]


def _rated(goal: Goal, cell: Cell, runs: Sequence[TrialResult]) -> Rated:
    figures = _known(goal, runs)
    on_gpu = any(run.telemetry and run.telemetry.gpu_memory_bytes_total is not None for run in runs)
    return Rated(cell, tuple(figures), median_of(figures), runs[-1].torch_threads, cell.mps or on_gpu)


def _median(rated: Rated) -> float:
    return rated.median.median


def _knee(best: Rated, rated: Sequence[Rated]) -> Rated:
    """Among equally small batches the one with fewer workers, then the faster one."""
    near = [each for each in rated if _median(each) >= KNEE_SHARE * _median(best)]
    return min(near, key=lambda each: (each.cell.batch_size, each.cell.workers, -_median(each)))


def _notes(
    goal: Goal, of_best: Sequence[TrialResult], compared: Mapping[int, Comparison], confidence: float
) -> Iterator[str]:
    for bound in goal.bounds:
        known = _known(bound, of_best)
        kept = sum(value < bound.limit for value in known)
        if kept < len(known):
            yield f"{bound} holds in {kept} of the {len(known)} runs of the best configuration only"
    if any(comparison.verdict == "not enough runs" for comparison in compared.values()):
        needed = runs_needed(len(compared), confidence)
        yield f"to tell the best of {len(compared) + 1} configurations takes {needed} runs of each, or more"


MODEL_CONFIG, PROPERTIES, START = "model-config.yaml", "config.properties", "start.sh"


def write_files(advice: Advice, folder: Path) -> list[Path]:
    """Writes model-config.yaml, config.properties and start.sh for the best configuration into `folder`.

    Raises ExperimentError where they can't be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files_of(advice).items():
            (folder / name).write_text(text)
            paths.append(folder / name)
        (folder / START).chmod(0o755)
    except OSError as error:
        raise ExperimentError(f"can't write the advice to {folder}: {error.strerror}; make room") from error
    return paths


def files_of(advice: Advice) -> dict[str, str]:
    """Each file's text by its name."""
    best = advice.best
    return {
        MODEL_CONFIG: _model_config(best.cell),
        PROPERTIES: _properties(best),
        START: _start_script(best),
    }


def _model_config(cell: Cell) -> str:
    """No minWorkers or maxWorkers: in an archive they would override what a registration asks for."""
    lines = [
        f"# Advised for {cell}.",
        "# Lines for the archive's model-config.yaml, in place of those that are there; then build it again",
        "# (bert and resnet50: the file in handlers/model-config/, and `make mar`). TorchServe 0.12.0",
        "# takes the batch size from nowhere else when it loads an archive that has this file.",
        f"batchSize: {cell.batch_size}",
        f"maxBatchDelay: {cell.batch_delay_ms}",
    ]
    if cell.precision:
        lines += ["handler:", f"  precision: {cell.precision}"]
    return "\n".join(lines) + "\n"


def _properties(best: Rated) -> str:
    """This project's config.properties with what the advice changes in it."""
    changed = {
        "load_models": f"{best.cell.model}.mar",
        "default_workers_per_model": str(best.cell.workers),
    }
    if best.on_gpu:  # else workers are dealt to every GPU of the machine, whatever the environment shows
        changed["number_of_gpu"] = "1"
    lines = [f"# Advised for {best.cell}; start it with start.sh.", ""]
    for line in (ROOT / PROPERTIES).read_text().splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={changed.pop(key)}" if key in changed else line)
    lines += [f"{key}={value}" for key, value in changed.items()]
    return "\n".join(lines) + "\n"


def _start_script(best: Rated) -> str:
    cell = best.cell
    env = {"OMP_NUM_THREADS": str(best.torch_threads)}
    if best.on_gpu:
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
    env |= share_env(cell.thread_percentage)
    lines = [
        "#!/bin/sh",
        f"# Serves {cell}, as advised. Run it in the folder that holds model_store/ and log4j2.xml.",
        "set -e",
        *(f"export {name}={value}" for name, value in env.items()),
    ]
    if cell.mps:
        ask = f"echo get_server_list | {CONTROL} >/dev/null 2>&1"
        lines += [f"{ask} || {CONTROL} -d  # the daemon, unless it runs"]
    return "\n".join(
        [*lines, 'exec torchserve --start --ncs --ts-config "$(dirname "$0")/config.properties"', ""]
    )
