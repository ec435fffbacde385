"""The sweep end to end: a real TorchServe, a small archive, the command as the user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from experiments.measure import campaign
from experiments.serving.instances import PREFIX
from experiments.serving.java import find_java
from mps.run import app
from tests.integration.conftest import programs_in
from tests.support import small_archives
from tests.support.small_archives import archive

pytestmark = pytest.mark.integration

QUICK = ("--duration", "0.3", "--warm-up", "0.1", "--runs", "3", "--workers", "1,2", "--batch-size", "4")
QUICK_TRIALS = 9  # three cells, of which one is the twin
# So many requests, however long they take: of 0.3 s a machine that stands still for 0.2 leaves too little.
ONE_SERVER = ("--requests", "90", "--warm-up", "0.1", "--runs", "3", "--workers", "1", "--batch-size", "4")
ONE_SERVER_TRIALS = 6  # a cell and its twin


DOOR = [sys.executable, "-m", "tests.support.undisturbed", "mps.run"]


def sweep(folder: Path, handler: str, *options: str) -> list[str]:
    """The command that sweeps an archive of `handler` into `<folder>/out`."""
    mar = folder / "small.mar"
    if not mar.exists():
        archive(folder, "small", handler)
        (folder / "input.txt").write_text("hello")
    given = ["--model", str(mar), "--input", str(folder / "input.txt"), "--out", str(folder / "out")]
    return [*DOOR, *given, *(options or QUICK)]


def finished(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def in_process(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """The same without a process of its own, whose imports take longer than many a sweep here."""
    done = CliRunner().invoke(app, command[len(DOOR) :])
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def trials(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def first_attempts(out: Path) -> list[dict[str, object]]:
    """Those of the plan. Beside other programs there are more, of runs that were disturbed."""
    return [trial for trial in trials(out) if not trial["attempt"]]


def resumed(out: Path) -> "subprocess.CompletedProcess[str]":
    return in_process([*DOOR, "--resume", str(out)])


def started(command: Sequence[str], out: Path, until_trials: int) -> "subprocess.Popen[str]":
    """The running command, once so many trials are on disk."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (out / "trials.jsonl").exists() or len(trials(out)) < until_trials:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return run


def test_a_sweep_leaves_its_files_and_prints_the_table(tmp_path: Path, own_tmp: Path) -> None:
    run = finished(sweep(tmp_path, small_archives.SLEEPS))
    assert run.returncode == 0, run.stderr
    out = tmp_path / "out"
    measured = trials(out)
    assert len(first_attempts(out)) == QUICK_TRIALS
    assert all(trial["valid"] for trial in measured)
    assert len(list((out / "requests").glob("*.npz"))) == len(measured)
    cores = len(os.sched_getaffinity(0))
    assert all(trial["torch_threads"] == max(1, cores // int(str(trial["workers"]))) for trial in measured)
    summary = pd.read_csv(out / "summary.csv")
    assert list(zip(summary.workers, summary.batch_size, strict=True)) == [(1, 4), (2, 4), (1, 4)]
    assert summary.twin.tolist() == [False, False, True]
    assert ((summary.runs == 3) | (summary.disturbed_runs > 0)).all()
    assert (summary.throughput_rps_median > 0).all()
    assert {"report.html", "report.md"} <= {path.name for path in out.iterdir()}
    assert (out / "advice" / "start.sh").exists()
    environment = json.loads((out / "environment.json").read_text())
    assert {
        "cpu",
        "memory_bytes",
        "gpus",
        "java",
        "python",
        "versions",
        "git_commit",
        "git_dirty",
        "command",
    } <= set(environment)
    assert environment["versions"]["torchserve"] == "0.12.0"
    assert "median of 3 runs" in run.stdout


def test_ctrl_c_and_sigterm_leave_nothing_behind_and_tell_how_to_go_on(tmp_path: Path, own_tmp: Path) -> None:
    out = tmp_path / "out"
    command = sweep(tmp_path, small_archives.SLEEPS, *ONE_SERVER)
    for number, until_trials in ((signal.SIGINT, 1), (signal.SIGTERM, 3)):
        run = started(command, out, until_trials)
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=30)
        assert run.returncode == 130
        kept = len(first_attempts(out))
        assert f"interrupted: {kept} of {ONE_SERVER_TRIALS} trials are kept" in stderr
        assert f"python -m mps.run --resume {out}" in stderr
        assert "Traceback" not in stdout + stderr
        assert_nothing_left(own_tmp)
        command = [*DOOR, "--resume", str(out)]

    done = resumed(out)
    assert done.returncode == 0, done.stderr
    assert_complete(out)


@pytest.mark.wide
def test_after_sigkill_resume_clears_up_completes_and_measures_nothing_twice(
    tmp_path: Path, own_tmp: Path
) -> None:
    run = started(sweep(tmp_path, small_archives.SLEEPS, *ONE_SERVER), tmp_path / "out", until_trials=3)
    run.kill()
    run.communicate()
    first = trials(tmp_path / "out")
    with (tmp_path / "out" / "trials.jsonl").open("ab") as file:
        file.write(b'{"schema_version": 1, "wor')  # as if the kill had hit the write

    done = resumed(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert trials(tmp_path / "out")[: len(first)] == first
    assert_complete(tmp_path / "out")
    assert_nothing_left(own_tmp)


def assert_nothing_left(own_tmp: Path) -> None:
    """No process and no temporary folder. Other programs' caches may lie there."""
    assert programs_in(own_tmp) == []
    assert list(own_tmp.glob(f"{PREFIX}*")) == []


def assert_complete(out: Path) -> None:
    """Every trial of the plan is there once, and valid."""
    measured = first_attempts(out)
    keys = {(trial["workers"], trial["twin"], trial["run"]) for trial in measured}
    assert len(measured) == len(keys) == ONE_SERVER_TRIALS
    assert all(trial["valid"] for trial in measured)


@pytest.mark.wide
@pytest.mark.parametrize(
    ("handler", "said", "shown_above"),
    [
        (small_archives.RAISES_AT_LOAD, "ValueError: the weights are not there", "Traceback"),
        (small_archives.RAISES_AT_REQUEST, "503 Service Unavailable", "ValueError: no answer to this"),
        (small_archives.DIES_AT_REQUEST, "Worker died", ""),
    ],
    ids=["raises at load", "raises at request", "dies at request"],
)
def test_a_handler_that_never_works_ends_the_sweep_with_its_reason(
    tmp_path: Path, own_tmp: Path, handler: str, said: str, shown_above: str
) -> None:
    run = in_process(sweep(tmp_path, handler))
    *above, last = run.stderr.strip().splitlines()
    assert run.returncode == 1
    assert last.startswith("error: ")
    assert said in last
    assert shown_above in "\n".join(above)
    assert_nothing_left(own_tmp)


@pytest.mark.wide
def test_files_that_the_model_refuses_are_named_before_anything_is_measured(
    tmp_path: Path, own_tmp: Path
) -> None:
    command = sweep(tmp_path, small_archives.READS_A_FIELD, *ONE_SERVER)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for name, content in ((".DS_Store", "x"), ("good.txt", "hello"), ("empty.txt", "")):
        (inputs / name).write_text(content)
    command[command.index("--input") + 1] = str(inputs)
    run = in_process([*command, "--input-as", "json"])
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert "error: 1 of the 2 files sent get no good answer: empty.txt (400 Bad Request" in run.stderr
    assert not (tmp_path / "out" / "trials.jsonl").read_bytes()
    (inputs / "empty.txt").unlink()
    again = resumed(tmp_path / "out")  # with --input-as json, as the plan has it
    assert (again.returncode, len(first_attempts(tmp_path / "out"))) == (0, ONE_SERVER_TRIALS)
    assert_nothing_left(own_tmp)


@pytest.mark.wide
def test_a_worker_that_dies_once_costs_one_trial_which_is_measured_again(
    tmp_path: Path, own_tmp: Path
) -> None:
    options = (
        "--duration",
        "0.5",
        "--warm-up",
        "0",
        "--runs",
        "3",
        "--workers",
        "1",
        "--batch-size",
        "4",
        "--no-noise-floor",
    )
    run = in_process(sweep(tmp_path, small_archives.DIES_ONCE, *options))
    measured = trials(tmp_path / "out")
    invalid = [trial for trial in measured if not trial["valid"]]
    assert len(first_attempts(tmp_path / "out")) == 3
    assert "died" in str(invalid[0]["problems"])
    assert (invalid[0]["run"], 1) in [(trial["run"], trial["attempt"]) for trial in measured]
    assert {trial["run"] for trial in measured if trial["valid"]} == {1, 2, 3}
    assert run.returncode == 0, run.stderr


@pytest.mark.wide
def test_a_worker_that_is_killed_as_it_loads_is_no_failure_of_its_cell(tmp_path: Path, own_tmp: Path) -> None:
    handler = small_archives.KILLED_AS_IT_LOADS.format(mark=str(tmp_path / "killed"))
    options = ("--duration", "0.5", "--warm-up", "0", "--runs", "2", "--workers", "1", "--batch-size", "4")
    run = in_process(sweep(tmp_path, handler, *options, "--no-noise-floor"))
    assert (tmp_path / "killed").exists()
    assert run.returncode == 0, run.stderr
    measured = trials(tmp_path / "out")
    assert [trial["run"] for trial in measured if not trial["valid"]] == [1]
    assert {trial["run"] for trial in measured if trial["valid"]} == {1, 2}
    assert_nothing_left(own_tmp)


# In the place of Java: something kills the server as it starts, once; by SIGTERM, Java ends with 143.
KILLED_ONCE = """#!/bin/sh
if [ "$1" != -version ] && mkdir {mark} 2>/dev/null; then
  {dies}
fi
exec {java} "$@"
"""


@pytest.mark.wide
@pytest.mark.parametrize("dies", ["kill -9 $$", "exit 143"])
def test_a_server_that_is_killed_as_it_starts_costs_one_trial_which_is_measured_again(
    tmp_path: Path, own_tmp: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(KILLED_ONCE.format(mark=tmp_path / "killed", dies=dies, java=find_java()))
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    options = ("--duration", "0.5", "--warm-up", "0", "--runs", "2", "--workers", "1", "--batch-size", "4")
    run = in_process(sweep(tmp_path, small_archives.NOOP, *options, "--no-noise-floor"))
    assert run.returncode == 0, run.stderr
    measured = trials(tmp_path / "out")
    (lost,) = [trial for trial in measured if not trial["valid"]]
    assert "at its start" in str(lost["problems"])
    assert {trial["run"] for trial in measured if trial["valid"]} == {1, 2}
    assert_nothing_left(own_tmp)


def test_a_results_folder_that_cannot_be_written_is_said_before_anything_starts(
    tmp_path: Path, own_tmp: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, where a folder should be made")
    command = sweep(tmp_path, small_archives.NOOP)
    command[command.index("--out") + 1] = str(blocked / "out")
    run = in_process(command)
    assert run.returncode == 1
    assert "can't write results" in run.stderr.strip().splitlines()[-1]


@pytest.mark.wide
def test_a_disk_that_fills_up_keeps_what_was_measured(tmp_path: Path, own_tmp: Path) -> None:
    """The third write goes to /dev/full, which fails as a full disk does."""
    append, calls = campaign.append, []

    def full_after_two(folder: Path, file: BinaryIO, *written: Any) -> None:
        calls.append(1)
        with Path("/dev/full").open("wb", buffering=0) as full:
            append(folder, full if len(calls) == 3 else file, *written)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "append", full_after_two)
        run = in_process(sweep(tmp_path, small_archives.SLEEPS, *ONE_SERVER))
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "No space left on device" in last
    assert "2 trials are kept" in last
    assert_nothing_left(own_tmp)
    assert resumed(tmp_path / "out").returncode == 0
    assert_complete(tmp_path / "out")
