"""A series of plans with a real TorchServe: what is due, what a time limit does, what is measured twice."""

import os
import signal
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from mps.series import app
from tests.integration.conftest import programs_in
from tests.support.small_archives import SLEEPS, archive

pytestmark = [pytest.mark.integration, pytest.mark.wide]


def a_plan(folder: Path, name: str, **settings: object) -> None:
    """A plan of a model that sleeps in `<folder>/plans`: two trials, unless told."""
    (folder / "input.txt").write_text("hello")
    mar = folder / "small.mar"
    if not mar.exists():
        archive(folder, "small", SLEEPS)
    told: dict[str, object] = {
        "model": mar,
        "input": folder / "input.txt",
        "workers": 1,
        "batch_size": 4,
        "duration_s": 0.3,
        "warm_up_s": 0.1,
        "runs": 2,
        "noise_floor": "false",
    }
    lines = [f"{key}: {value}" for key, value in (told | settings).items()]
    (folder / "plans").mkdir(exist_ok=True)
    (folder / "plans" / f"{name}.yaml").write_text("\n".join(lines))


def command(folder: Path, *options: str) -> list[str]:
    plans, out = str(folder / "plans"), str(folder / "out")
    return [sys.executable, "-m", "tests.support.undisturbed", "mps.series", plans, "--out", out, *options]


def series(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(folder, *options), capture_output=True, text=True, cwd=ROOT, timeout=120)


def in_process(folder: Path, *options: str) -> Result:
    """The same without a process of its own; what its sweeps print is not in the result."""
    with chdir(ROOT):
        return CliRunner().invoke(app, command(folder, *options)[4:])


def test_each_plan_leaves_results_of_its_own_and_none_is_measured_twice(
    tmp_path: Path, own_tmp: Path
) -> None:
    a_plan(tmp_path, "1-small")
    a_plan(tmp_path, "2-larger", batch_size=8)
    done = in_process(tmp_path)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "All 2 plans are measured" in done.stdout
    for name, batch_size in (("1-small", 4), ("2-larger", 8)):
        summary = pd.read_csv(tmp_path / "out" / name / "summary.csv")
        assert summary.batch_size.tolist() == [batch_size]
        assert summary.runs[0] >= 2  # more where other programs disturbed one
    again = in_process(tmp_path)
    assert again.exit_code == 0
    assert "1-small: measured already" in again.stdout
    assert programs_in(own_tmp) == []


@pytest.mark.wide
def test_a_plan_that_does_not_fit_is_not_begun(tmp_path: Path, own_tmp: Path) -> None:
    a_plan(tmp_path, "1-small")
    a_plan(tmp_path, "2-long", duration_s=600)
    done = in_process(tmp_path, "--minutes", "2")
    assert done.exit_code == 3, done.stdout + done.stderr
    assert "Left: 2-long; the same command goes on with them" in done.stdout
    assert not (tmp_path / "out" / "2-long").exists()


@pytest.mark.wide
def test_a_plan_that_fails_does_not_keep_the_next_one_from_being_measured(
    tmp_path: Path, own_tmp: Path
) -> None:
    a_plan(tmp_path, "1-refused", duration_s=0.3)
    a_plan(tmp_path, "2-small")
    broken = tmp_path / "broken"
    broken.mkdir()
    mar = archive(broken, "broken", "raise RuntimeError('no such weights')")
    a_plan(tmp_path, "1-refused", model=mar)
    done = series(tmp_path)
    assert done.returncode == 1
    assert "1-refused failed" in done.stderr
    assert "no such weights" in done.stderr
    assert (tmp_path / "out" / "2-small" / "summary.csv").exists()


@pytest.mark.wide
def test_a_signal_ends_the_sweep_that_runs_and_the_same_command_goes_on(
    tmp_path: Path, own_tmp: Path
) -> None:
    a_plan(tmp_path, "1-small", runs=9)
    trials = tmp_path / "out" / "1-small" / "trials.jsonl"
    interrupted_after_a_trial(tmp_path, trials, signal.SIGINT)
    assert programs_in(own_tmp) == []
    interrupted_after_a_trial(tmp_path, trials, signal.SIGTERM)
    assert programs_in(own_tmp) == []
    done = in_process(tmp_path)
    assert done.exit_code == 0, done.stderr
    assert trials.read_text().count('"attempt": 0,') == 9


def interrupted_after_a_trial(folder: Path, trials: Path, number: int) -> None:
    """Starts the series, or goes on with it, and ends it with a signal once it has measured a trial more."""
    before_bytes = trials.stat().st_size if trials.exists() else 0
    run = subprocess.Popen(
        command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    deadline = time.monotonic() + 60
    while not trials.exists() or trials.stat().st_size == before_bytes:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(run.pid, number)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command goes on" in stderr


def test_a_folder_without_plans_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    done = in_process(tmp_path)
    assert done.exit_code == 2
    assert "no .yaml file in" in done.stderr
