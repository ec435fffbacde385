"""The files of a results folder: their names, their schema, how they are written and read.

    plan.json           what was asked
    environment.json    where it was measured
    trials.jsonl        one line a trial, appended and flushed before the next trial starts
    requests/NNNN.npz   start, end and status of every request of trial NNNN, compressed; of an open loop also
                        when each was scheduled, and how late the generator got to them
    summary.csv         one line a cell, rebuilt from trials.jsonl at any time
    cards/              of the cards of a cluster: cards/folders.py

Nothing here measures. Numbers are compared and judged elsewhere.
"""

import dataclasses
import fcntl
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import append_line, bytes_of, cut_torn_line, replacing, write_json, write_whole
from experiments.base.shown import command, no_formula
from experiments.plan import Cell, Plan, plan_from
from experiments.results.cards.folders import card_folders
from experiments.results.cards.sittings import of_one_card
from experiments.results.ceilings import Ceilings, read_ceilings
from experiments.results.contained import MOST_TRIAL_BYTES, refuse_what_leads_out
from experiments.results.environment import environment_from
from experiments.results.trial_result import TrialResult, trial_result_from
from experiments.results.typed import strictly_parsed

Requests = Mapping[str, npt.NDArray[Any]]
"""Columns of the requests of a trial, by their names in requests/NNNN.npz."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a results folder holds: what was asked for, where it was measured, and what was found.

    `environment` is empty and `ceilings` None where their files can't be read; `notes` say why, and whatever
    else reading gave rise to. `trials` are those that count where the cards of a cluster measured
    (cards/sittings.py); `checks` are each card's runs of the twin.
    """

    folder: Path
    plan: Plan
    trials: tuple[TrialResult, ...]
    environment: Mapping[str, Any]
    ceilings: Ceilings | None = None
    notes: tuple[str, ...] = ()
    checks: Mapping[str, Sequence[TrialResult]] = field(default_factory=dict)


def read(folder: Path) -> Results:
    """Reads a results folder. Raises UsageError where it is none or leads out of itself, ExperimentError for
    damaged files."""
    plan = read_plan(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        measured = read_trials(folder, plan)
        trials = of_one_card(measured)
        checks = {each.name: read_trials(each) for each in card_folders(folder)}
    notes = [str(each.message) for each in caught]
    if beside := len(measured) - len(trials):
        notes.append(f"{beside} runs were measured anew on another card: they are kept, and don't count")
    found = Results(folder, plan, tuple(trials), {}, notes=tuple(notes), checks=checks)
    try:
        found = replace(found, ceilings=read_ceilings(folder))
    except ExperimentError as error:
        found = replace(found, notes=(*found.notes, str(error)))
    try:
        found = replace(found, environment=read_environment(folder))
    except ExperimentError as error:
        found = replace(found, notes=(*found.notes, str(error)))
    return found


def create(folder: Path, plan: Plan, environment: Mapping[str, Any]) -> None:
    """Makes a results folder with its plan and environment. Raises UsageError if it holds results already."""
    if (folder / "plan.json").exists():
        resume = command("--resume", folder)
        raise UsageError(f"{folder} holds results already: give another --out, or {resume}")
    try:
        (folder / "requests").mkdir(parents=True, exist_ok=True)
        write_json(folder / "environment.json", environment)
        write_json(folder / "plan.json", dataclasses.asdict(plan))
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def read_plan(folder: Path) -> Plan:
    """The plan of a results folder. Raises UsageError when it is not one or leads out of itself,
    ExperimentError if damaged."""
    refuse_what_leads_out(folder)
    try:
        values = strictly_parsed(bytes_of(folder / "plan.json"))
        if not isinstance(values, dict):
            raise ValueError("it holds no object")
        return plan_from(values)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is not a results folder: it has no plan.json") from error
    except (OSError, ValueError, UsageError) as error:
        raise ExperimentError(f"{folder}/plan.json can't be read: {_short(error)}") from error


@contextmanager
def open_for_append(folder: Path) -> Iterator[IO[bytes]]:
    """trials.jsonl, locked against a second run in the same folder, a torn last line cut off."""
    path = folder / "trials.jsonl"
    try:
        file = path.open("ab+")
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another run is writing to {folder}: wait, or give another --out") from error
        cut_torn_line(file)
        yield file


def append(folder: Path, file: IO[bytes], result: TrialResult, requests: Requests | bytes | None) -> None:
    """Puts a finished trial on disk, its requests first: a line in trials.jsonl means all of it is there.

    `requests` may be what another such file holds."""
    try:
        if requests is not None:
            _save_requests(folder / "requests" / f"{result.trial.position:04}.npz", requests)
        append_line(file, result.to_json())
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def read_trials(folder: Path, plan: Plan | None = None) -> list[TrialResult]:
    """All finished trials in the order of measuring. A torn last line, left by a kill, is dropped with a
    warning; a line damaged anywhere else, or that is not of `plan`, raises ExperimentError."""
    path = folder / "trials.jsonl"
    try:
        *lines, rest = bytes_of(path, MOST_TRIAL_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ExperimentError(f"{path} can't be read: {error.strerror}") from error
    if rest:
        warnings.warn(f"{path}: the last line is torn and was dropped", stacklevel=2)
    cells = None if plan is None else set(plan.cells())
    found: dict[tuple[Cell, int, int], TrialResult] = {}
    for number, line in enumerate(lines, start=1):
        try:
            result = _trial_in(line)
            key = result.trial.cell, result.trial.run, result.trial.attempt
            if key in found:
                again = f", attempt {key[2]}," if key[2] else ""
                raise ValueError(f"run {key[1]}{again} of {key[0]} is there already")
            if plan and cells is not None:
                _check_planned(result, plan, cells)
        except ValueError as error:
            raise ExperimentError(
                f"{path}, line {number} is damaged ({_short(error)}): "
                "remove it, and --resume measures it again"
            ) from error
        found[key] = result
    return list(found.values())


def _short(error: Exception) -> str:
    """In one line that can be read, whatever the file holds."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def _trial_in(line: bytes) -> TrialResult:
    value = strictly_parsed(line)
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    return trial_result_from(value)


def _check_planned(result: TrialResult, plan: Plan, cells: Container[Cell]) -> None:
    """Raises ValueError for a trial that this plan can't have brought."""
    trial = result.trial
    if trial.cell not in cells:
        raise ValueError(f"{trial.cell} is not in plan.json")
    if trial.run < 1 or (trial.run > plan.runs and not plan.adaptive):
        raise ValueError(f"run {trial.run} is none of the {plan.runs} in plan.json")
    if trial.position < 0:
        raise ValueError(f"position {trial.position} is below 0")
    if trial.attempt < 0:
        raise ValueError(f"attempt {trial.attempt} is below 0")


def read_environment(folder: Path) -> dict[str, Any]:
    """Where the results of a folder were measured. Raises ExperimentError when it can't be read."""
    path = folder / "environment.json"
    try:
        return environment_from(strictly_parsed(bytes_of(path)))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path} can't be read: {error}") from error


def write_environment(folder: Path, environment: Mapping[str, Any]) -> None:
    """Replaces environment.json. Raises OSError."""
    write_json(folder / "environment.json", environment)


def write_summary(folder: Path, summary: pd.DataFrame) -> None:
    """Writes summary.csv, whole or not at all."""
    try:
        text = without_formulas(summary).to_csv(index=False, float_format="%.6g")
        write_whole(folder / "summary.csv", text)
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with no text in it that a spreadsheet would calculate; headings are our own."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(no_formula) for name in texts})


def _save_requests(path: Path, requests: Requests | bytes) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        if isinstance(requests, bytes):
            file.write(requests)
        else:
            columns: dict[str, Any] = {**requests}
            np.savez_compressed(file, **columns)


def _cannot_write(folder: Path, error: OSError) -> str:
    return (
        f"can't write results to {folder}: {error.strerror}; what was measured before is kept. "
        f"Make room or give another --out, then go on with --resume"
    )
