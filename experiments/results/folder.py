"""The files of a results folder: their names, their schema, how they are written and read.

    plan.json           what was asked
    environment.json    where it was measured
    trials.jsonl        one line a trial, appended and flushed before the next trial starts
    requests/NNNN.npz   start, end and status of every request of trial NNNN, compressed; of an open loop also
                        when each was scheduled, and how late the generator got to them
    summary.csv         one line a cell, rebuilt from trials.jsonl at any time

Nothing here measures. Numbers are compared and judged elsewhere.
"""

import dataclasses
import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from experiments.base.errors import ExperimentError, UsageError
from experiments.load import LoadResult
from experiments.plan.plan import Cell, Load, Plan, Trial, plan_from
from experiments.watch.counters import Counted
from experiments.watch.telemetry import PROCESS_GROUPS, Telemetry, telemetry_from

SCHEMA_VERSION = 3  # 3: loads as axes, open loops, goodput, flags, what the warm-up took
READABLE = (2, 3)  # what was not there yet has its default
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one trial gave. Valid when `problems` is empty; figures of an invalid trial are not a result.

    `latency_ms` maps "p50", "p95", "p99" and "mean" to milliseconds; it is empty when nothing was answered.
    `answers` came inside the measured window; `statuses` counts every answer, those of warm-up and drain
    included. `torch_threads` is each worker's share of the cores; `mps_clients` are those of `worker_pids`
    that were clients of an MPS daemon: all of them in the arm with MPS, none in the other.
    `counted` is what TorchServe and handlers count, from before the warm-up until after the last answer.
    `gpu_memory_before_bytes` was in use on the GPU before the server started. `telemetry` is None where
    nothing could be measured. `flags` say what should make one careful with a run that is valid.
    `discarded_s` and `discarded_answers` are what the warm-up took. `open_loop` tells how the generator kept
    its schedule (load/result.py), `goodput` what the search for the highest rate found (load/goodput/).
    """

    trial: Trial
    started_at: str
    throughput_rps: float
    latency_ms: Mapping[str, float]
    answers: int
    window_s: float
    statuses: Mapping[str, int]
    lost_connections: int
    client_cpu_us_per_request: float | None
    torch_threads: int
    worker_pids: Sequence[int]
    mps_clients: Sequence[int]
    counted: Counted | None
    gpu_memory_before_bytes: int | None
    telemetry: Telemetry | None
    problems: Sequence[str] = ()
    flags: Sequence[str] = ()
    discarded_s: float | None = None
    discarded_answers: int | None = None
    open_loop: Mapping[str, Any] | None = None
    goodput: Mapping[str, Any] | None = None

    @property
    def valid(self) -> bool:
        """Whether its figures may be used."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The line of trials.jsonl: the trial's cell and load flattened into it."""
        trial = self.trial
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "trial"}
        return {
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(trial.cell),
            **dataclasses.asdict(trial.load),
            "run": trial.run,
            "position": trial.position,
            "seed": trial.seed,
            **own,
            "counted": self.counted and dataclasses.asdict(self.counted),
            "telemetry": self.telemetry and dataclasses.asdict(self.telemetry),
            "valid": self.valid,
        }


def trial_result_from(line: Mapping[str, Any]) -> TrialResult:
    """The inverse of TrialResult.to_json. Raises ExperimentError for another schema version."""
    if line.get("schema_version") not in READABLE:
        raise ExperimentError(
            f"trials.jsonl has schema version {line.get('schema_version')}, this program reads "
            f"{' and '.join(map(str, READABLE))}: use the version of torchserve-mps that wrote it"
        )
    trial = Trial(
        Cell(**_fields_in(line, Cell)),
        Load(**_fields_in(line, Load)),
        run=line["run"],
        position=line["position"],
        seed=line["seed"],
    )
    own = _fields_in(line, TrialResult)
    own["counted"] = own["counted"] and Counted(**own["counted"])
    own["telemetry"] = own["telemetry"] and telemetry_from(own["telemetry"])
    return TrialResult(trial=trial, **own)


def _fields_in(line: Mapping[str, Any], kind: type) -> dict[str, Any]:
    return {f.name: line[f.name] for f in dataclasses.fields(kind) if f.name in line}


def create(folder: Path, plan: Plan, environment: Mapping[str, Any]) -> None:
    """Makes a results folder with its plan and environment. Raises UsageError if it holds results already."""
    if (folder / "plan.json").exists():
        raise UsageError(f"{folder} holds results already: give another --out, or --resume {folder}")
    try:
        (folder / "requests").mkdir(parents=True, exist_ok=True)
        write_json(folder / "environment.json", environment)
        write_json(folder / "plan.json", dataclasses.asdict(plan))
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def read_plan(folder: Path) -> Plan:
    """The plan of a results folder. Raises UsageError when it is not one."""
    try:
        return plan_from(json.loads((folder / "plan.json").read_text()))
    except FileNotFoundError as error:
        raise UsageError(f"{folder} is not a results folder: it has no plan.json") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}/plan.json can't be read: {error}") from error


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
        _cut_torn_line(file)
        yield file


def append(folder: Path, file: IO[bytes], result: TrialResult, load: LoadResult | None) -> None:
    """Puts a finished trial on disk, its requests first: a line in trials.jsonl means all of it is there."""
    try:
        if load is not None:
            _save_requests(folder / "requests" / f"{result.trial.position:04}.npz", load)
        file.write(json.dumps(result.to_json()).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def read_trials(folder: Path) -> list[TrialResult]:
    """All finished trials in the order of measuring. A torn last line, left by a kill, is dropped with a
    warning; a line damaged anywhere else raises ExperimentError."""
    path = folder / "trials.jsonl"
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        warnings.warn(f"{path}: the last line is torn and was dropped", stacklevel=2)
    results = []
    for number, line in enumerate(lines, start=1):
        try:
            results.append(trial_result_from(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ExperimentError(
                f"{path}, line {number} is damaged ({error!r}): remove it, and --resume measures it again"
            ) from error
    return results


def summarise(plan: Plan, results: Sequence[TrialResult]) -> pd.DataFrame:
    """One row a cell of the plan: the median, minimum and maximum over its valid runs.

    Latency columns hold the median over the runs of each run's percentile. `errors` counts answers
    that were not 2xx and lost connections, over all runs. A cell without a valid run has NaN figures.
    Telemetry columns are medians over the runs too, NaN where nobody could tell; `throttle_reasons` are those
    of any run. `gpu_memory_bytes_per_worker` is what the server added to the GPU's memory in use, divided by
    its workers: with MPS their share of the common context is in it.
    `mps_over_off` is the ratio of a cell's median with MPS to that of the same cell without it,
    `gpu_memory_saved_bytes` what MPS saves of the whole GPU's memory in use. The row whose `twin` is True is
    the first cell once more: what differs between the two is noise.
    """
    runs = by_cell(results)
    summary = pd.DataFrame([_summary_row(plan, cell, runs.get(cell, ())) for cell in plan.cells()])
    throughput_rps, memory_bytes = summary["throughput_rps_median"], summary["gpu_memory_bytes_total"]
    summary["mps_over_off"] = throughput_rps / _same_without_mps(plan, throughput_rps)
    summary["gpu_memory_saved_bytes"] = _same_without_mps(plan, memory_bytes) - memory_bytes
    return summary


def by_cell(results: Sequence[TrialResult]) -> dict[Cell, list[TrialResult]]:
    """The runs of each cell, in their order."""
    runs: dict[Cell, list[TrialResult]] = {}
    for result in results:
        runs.setdefault(result.trial.cell, []).append(result)
    return runs


def read_environment(folder: Path) -> dict[str, Any]:
    """Where the results of a folder were measured. Raises ExperimentError when it can't be read."""
    try:
        return read_json(folder / "environment.json")
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{folder}/environment.json can't be read: {error}") from error


def write_summary(folder: Path, summary: pd.DataFrame) -> None:
    """Writes summary.csv, whole or not at all."""
    temporary = folder / "summary.csv.new"
    try:
        summary.to_csv(temporary, index=False, float_format="%.6g")
        temporary.replace(folder / "summary.csv")
    except OSError as error:
        raise ExperimentError(_cannot_write(folder, error)) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises OSError or ValueError."""
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def _summary_row(plan: Plan, cell: Cell, of_cell: Sequence[TrialResult]) -> dict[str, Any]:
    valid = [result for result in of_cell if result.valid]
    throughputs = np.array([result.throughput_rps for result in valid] or [np.nan])
    row = dataclasses.asdict(cell)
    row |= {
        "concurrency": plan.load_of(cell).connections,
        "runs": len(valid),
        "invalid_runs": len(of_cell) - len(valid),
        "throughput_rps_median": float(np.median(throughputs)),
        "throughput_rps_min": float(np.min(throughputs)),
        "throughput_rps_max": float(np.max(throughputs)),
    }
    for percentile in PERCENTILES:
        values = [result.latency_ms[f"p{percentile}"] for result in valid] or [np.nan]
        row[f"latency_ms_p{percentile}"] = float(np.median(values))
    row["errors"] = sum(_errors(result) for result in of_cell)
    row["flags"] = "; ".join(sorted({flag for result in valid for flag in result.flags}))
    row |= _telemetry_columns([result.telemetry for result in valid if result.telemetry])
    row["gpu_memory_bytes_per_worker"] = _median([_gpu_memory_per_worker(result) for result in valid])
    return row


def _telemetry_columns(of_runs: Sequence[Telemetry]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        name: _median([getattr(run, name) for run in of_runs])
        for name in (
            "gpu_memory_bytes_total",
            "gpu_utilisation_percent",
            "sm_clock_mhz_mean",
            "power_w",
            "energy_j_per_1000_requests",
            "temperature_c",
        )
    }
    for group in PROCESS_GROUPS:
        columns[f"{group}_cpu_cores"] = _median([run.cpu_cores_used.get(group) for run in of_runs])
    reasons = {reason for run in of_runs for reason in run.throttle_reasons or ()}
    columns["throttle_reasons"] = "; ".join(sorted(reasons))
    return columns


def _gpu_memory_per_worker(result: TrialResult) -> float | None:
    """The driver's own figures by process are no help here: containers hide them, and with MPS the memory of
    the common context is nobody's."""
    before_bytes = result.gpu_memory_before_bytes
    in_use_bytes = result.telemetry.gpu_memory_bytes_total if result.telemetry else None
    if in_use_bytes is None or before_bytes is None:
        return None
    return (in_use_bytes - before_bytes) / result.trial.cell.workers


def _median(values: Sequence[Any]) -> float:
    """Of what is known; NaN where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else float("nan")


def _same_without_mps(plan: Plan, values: pd.Series) -> pd.Series:
    """For each row with MPS the value of the same cell without it; NaN elsewhere, and where there is none."""
    cells = plan.cells()
    of_cell = dict(zip(cells, values, strict=True))
    off = [of_cell.get(cell.without_mps, np.nan) if cell.mps else np.nan for cell in cells]
    return pd.Series(off, index=values.index, dtype=float)


def _errors(result: TrialResult) -> int:
    bad = sum(count for status, count in result.statuses.items() if not status.startswith("2"))
    return bad + result.lost_connections


def _save_requests(path: Path, load: LoadResult) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        requests: dict[str, Any] = {"start_s": load.start_s, "end_s": load.end_s, "status": load.status}
        if load.pacing is not None:
            requests |= {"scheduled_s": load.pacing.scheduled_s, "lateness_s": load.pacing.lateness_s}
        np.savez_compressed(file, **requests)
    temporary.replace(path)


def _cut_torn_line(file: IO[bytes]) -> None:
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)


def _cannot_write(folder: Path, error: OSError) -> str:
    return (
        f"can't write results to {folder}: {error.strerror}; what was measured before is kept. "
        f"Make room or give another --out, then go on with --resume"
    )
