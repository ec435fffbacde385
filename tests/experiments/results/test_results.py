"""The files of a results folder: what is written, what survives, what is read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Plan
from experiments.results import folder as results
from experiments.results.telemetry import Telemetry
from experiments.results.trial_result import SCHEMA_VERSION, trial_result_from
from experiments.verdict.summary import summarise
from tests.support.builders import a_gpu_telemetry, a_load_result, a_result, results_of

PLAN = Plan(workers=(1, 2), batch_size=(1, 4), runs=5)


def a_folder(path: Path, written: int = 3) -> Path:
    """A results folder of PLAN with its first trials."""
    results.create(path, PLAN, {"cpu": "a test"})
    with results.open_for_append(path) as file:
        for result in results_of(PLAN)[:written]:
            results.append(path, file, result, a_load_result().columns())
    return path


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    assert results.read_trials(folder) == results_of(PLAN)[:3]
    assert results.read_plan(folder) == PLAN


def test_a_line_of_trials_jsonl_carries_the_cell_and_the_schema_version(tmp_path: Path) -> None:
    line = json.loads((a_folder(tmp_path / "run") / "trials.jsonl").read_text().splitlines()[0])
    assert line["schema_version"] == SCHEMA_VERSION
    assert {"model", "workers", "batch_size", "run", "throughput_rps", "latency_ms", "valid"} <= set(line)


def test_the_requests_of_a_trial_lie_beside_it(tmp_path: Path) -> None:
    with np.load(a_folder(tmp_path / "run") / "requests" / "0000.npz") as requests:
        assert set(requests) == {"start_s", "end_s", "status"}
        assert requests["end_s"].size == 8


def test_a_torn_last_line_is_dropped_with_a_warning_and_cut_off_before_appending(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(b'{"schema_version": 2, "model": "be')
    with pytest.warns(UserWarning, match="torn"):
        assert len(results.read_trials(folder)) == 3
    with results.open_for_append(folder) as appended:
        results.append(folder, appended, results_of(PLAN)[3], a_load_result().columns())
    assert results.read_trials(folder) == results_of(PLAN)[:4]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    first, *rest = (folder / "trials.jsonl").read_text().splitlines()
    (folder / "trials.jsonl").write_text("\n".join([first, "{", *rest]) + "\n")
    with pytest.raises(ExperimentError, match=r"line 2 is damaged"):
        results.read_trials(folder)


def test_results_of_a_later_schema_are_not_guessed_at(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", written=1)
    text = (folder / "trials.jsonl").read_text()
    (folder / "trials.jsonl").write_text(
        text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99')
    )
    with pytest.raises(ExperimentError, match="schema version 99"):
        results.read_trials(folder)


def test_a_folder_that_holds_results_is_not_overwritten(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    with pytest.raises(UsageError, match="--resume"):
        results.create(folder, PLAN, {})


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    with (
        results.open_for_append(folder),
        pytest.raises(UsageError, match="another run"),
        results.open_for_append(folder),
    ):
        pass


def test_a_full_disk_is_said_in_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(ExperimentError, match=r"No space left on device.*--resume"),
    ):
        results.append(folder, full, results_of(PLAN)[3], None)
    assert len(results.read_trials(folder)) == 3


def test_the_summary_holds_medians_over_the_valid_runs() -> None:
    trials = [trial for trial in PLAN.trials() if trial.cell == PLAN.cells()[0]]
    speeds = [100.0, 300.0, 200.0, 500.0, 9000.0]
    problems: list[list[str]] = [[], [], [], [], ["3 of 500 answers were no success"]]
    measured = [
        a_result(trial, speed, p50_ms=speed / 10, problems=problem, statuses={"200": 497, "503": 3})
        for trial, speed, problem in zip(trials, speeds, problems, strict=True)
    ]
    row = summarise(PLAN, measured).iloc[0]
    assert (row.throughput_rps_median, row.throughput_rps_min, row.throughput_rps_max) == (250, 100, 500)
    assert row.latency_ms_p50 == 25
    assert (row.runs, row.invalid_runs, row.errors) == (4, 1, 15)


def test_the_summary_compares_each_cell_with_mps_to_the_same_without_it() -> None:
    plan = Plan(
        workers=(2,), batch_size=(1, 8), with_mps=True, thread_percentage=(50, 100), noise_floor=False
    )
    speed = {(1, None): 100.0, (1, 50): 90.0, (1, 100): 120.0, (8, None): 200.0, (8, 50): 300.0}
    measured = [
        a_result(trial, speed[key])
        for trial in plan.trials()
        if (key := (trial.cell.batch_size, trial.cell.thread_percentage)) in speed
    ]
    summary = summarise(plan, measured)
    assert summary.mps_over_off.dropna().tolist() == [0.9, 1.2, 1.5]
    assert summary.mps_over_off.isna().tolist() == [True, False, False, True, False, True]


def test_the_summary_tells_what_mps_saves_of_the_gpus_memory_and_what_requests_cost() -> None:
    plan = Plan(workers=(4,), batch_size=(8,), with_mps=True, noise_floor=False, runs=2)
    in_use = {False: [9 * 2**30, 9 * 2**30], True: [3 * 2**30, 5 * 2**30]}
    measured = [
        a_result(trial, telemetry=a_gpu_telemetry(in_use[trial.cell.mps][trial.run - 1], energy_j=200.0))
        for trial in plan.trials()
    ]
    off, on = summarise(plan, measured).itertuples()
    assert (off.gpu_memory_bytes_total, on.gpu_memory_bytes_total) == (9 * 2**30, 4 * 2**30)
    assert on.gpu_memory_saved_bytes == 5 * 2**30
    assert off.gpu_memory_bytes_per_worker == 2 * 2**30  # one GiB was in use before
    assert on.energy_j_per_1000_requests == 500  # 200 J for 400 answers
    assert on.workers_cpu_cores == 1.5


def test_without_a_gpu_its_columns_are_there_and_empty() -> None:
    measured = [replace(result, telemetry=Telemetry(1.0, 10)) for result in results_of(PLAN)]
    summary = summarise(PLAN, measured)
    assert summary.gpu_memory_bytes_total.isna().all()
    assert summary.workers_cpu_cores.isna().all()


def test_telemetry_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    result = a_result(PLAN.trials()[0], telemetry=a_gpu_telemetry(2**30, energy_j=5.0))
    line = json.loads(json.dumps(result.to_json()))
    assert trial_result_from(line) == result


def test_a_cell_without_a_valid_run_stays_in_the_summary_without_figures() -> None:
    summary = summarise(PLAN, [])
    assert len(summary) == len(PLAN.cells())
    assert summary.throughput_rps_median.isna().all()
    assert list(summary.runs) == [0] * len(summary)


def test_summary_csv_has_the_promised_columns(tmp_path: Path) -> None:
    results.write_summary(tmp_path, summarise(PLAN, results_of(PLAN)))
    columns = pd.read_csv(tmp_path / "summary.csv").columns
    promised = (
        "model workers batch_size batch_delay_ms concurrency runs invalid_runs throughput_rps_median "
        "throughput_rps_min throughput_rps_max latency_ms_p50 latency_ms_p95 latency_ms_p99 errors"
    )
    assert set(promised.split()) <= set(columns)
