"""`--with-mps` end to end: real TorchServe, NVIDIA's real control daemon, a stand-in card.

Stood in for is only what needs a GPU: NVML, the compute mode, and that a worker with the daemon's
environment is listed among its clients (a CUDA context would do that).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from experiments.base.paths import ROOT
from scripts.fetch_mps import FetchError, fetch
from tests.integration.conftest import programs_in
from tests.stand_ins import FOLDER, NEWER_CONTROL, UUID, VARIABLE, a_card, facts_of, transcript
from tests.support.small_archives import SLEEPS, archive

pytestmark = pytest.mark.integration


# What CUDA does with a worker: the daemon in its environment lists it. `{strays}`: workers that it misses;
# `{needed}`: variables without which a worker could not use the GPU.
PROGRAM = """
import sys
import psutil
from experiments.load.goodput import others
from mps.control import daemon

others.MOST_OTHER_CPU = 100.0  # whatever else runs beside the tests

def clients(self):
    mine = []
    for process in psutil.process_iter():
        try:
            worker = "model_service_worker" in " ".join(process.cmdline())
            variables = process.environ()
            ours = variables.get(daemon.PIPE_VARIABLE) == str(self.pipe_folder)
            if worker and ours and {needed!r}.items() <= variables.items():
                mine.append(process.pid)
        except psutil.Error:  # it ended while we looked
            continue
    return [daemon.Client(pid, 1, "GPU-5d1f", "python") for pid in sorted(mine)[{strays}:]]

daemon.MpsDaemon.clients = clients
if not {needed!r}:
    daemon.MpsDaemon.start_server = lambda self: 1  # a real one needs a GPU
sys.argv = {arguments!r}
from mps.run import app
app()
"""


def command(
    folder: Path,
    handler: str,
    *options: str,
    strays: int = 0,
    control: Path = FOLDER / "recorded",
    needed: Mapping[str, str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """The sweep in both arms of an archive of `handler`, into `<folder>/out`; and its environment."""
    try:
        programs = fetch()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's control daemon, it can't be fetched: {error}")
    card = a_card(folder / "card")
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "nvidia-smi").symlink_to(FOLDER / "nvidia-smi")
    (binaries / "nvidia-cuda-mps-control").symlink_to(control)
    (folder / "input.txt").write_text("hello")
    arguments = ["mps.run", "--with-mps", "--model", str(archive(folder, "small", handler))]
    arguments += ["--input", str(folder / "input.txt"), "--out", str(folder / "out"), "--workers", "2"]
    arguments += ["--no-noise-floor"]
    arguments += [*options] or ["--batch-size", "4", "--duration", "0.3", "--warm-up", "0.1", "--runs", "3"]
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}",
        "REAL_CONTROL": str(programs.control),
        VARIABLE: str(card),
    }
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    program = PROGRAM.format(arguments=arguments, strays=strays, needed=dict(needed or {}))
    return [sys.executable, "-c", program], environment


def trials(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "trials.jsonl").read_text().splitlines()]


def test_every_cell_is_measured_in_both_arms_and_all_is_as_before(tmp_path: Path, own_tmp: Path) -> None:
    # Long enough for the sampler, which the stand-in card slows down.
    options = ["--batch-size", "4", "--duration", "3", "--warm-up", "0.1", "--runs", "3"]
    run, variables = command(tmp_path, SLEEPS, *options)
    done = subprocess.run(run, env=variables, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr

    measured = trials(tmp_path)
    assert [trial["mps"] for trial in measured] == [False, False, True, True, True, False]
    assert all(trial["valid"] for trial in measured)
    for trial in measured:
        assert trial["mps_clients"] == (sorted(trial["worker_pids"]) if trial["mps"] else [])

    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary.mps.tolist() == [False, True]
    assert summary.mps_over_off.notna().tolist() == [False, True]
    assert "on/off" in done.stdout
    assert "figures of a test and of no GPU" in done.stdout
    environment = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert environment["gpu_is_stood_in_for"] is True
    for trial in measured:
        assert trial["telemetry"]["gpu_utilisation_percent"] == 37
        assert trial["telemetry"]["cpu_cores_used"]["workers"] > 0
    assert summary.gpu_memory_bytes_total.notna().all()

    steps = transcript(tmp_path / "card")
    changes = [step for step in steps if " -c " in step or step.startswith(("control -f", "control quit"))]
    assert changes == [
        f"nvidia-smi -i {UUID} -c EXCLUSIVE_PROCESS",
        "control -f",
        "control quit -t 4",
        f"nvidia-smi -i {UUID} -c DEFAULT",
    ]
    assert facts_of(tmp_path / "card")["compute_mode"] == 0
    assert programs_in(own_tmp) == []


@pytest.mark.wide
def test_static_partitions_and_memory_limits_are_axes(tmp_path: Path, own_tmp: Path) -> None:
    """On a stand-in for the control programs of newer drivers; a partition that is not to be had is told."""
    options = ["--batch-size", "4", "--duration", "0.3", "--warm-up", "0.1", "--runs", "1"]
    options += ["--sm-chunks", "4,99", "--memory-limit", "2048", "--no-ceilings"]
    needed = {
        "CUDA_MPS_SM_PARTITION": f"{UUID}/Dx4A/0AA",
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=2048M",
    }
    run, variables = command(tmp_path, SLEEPS, *options, control=NEWER_CONTROL, needed=needed)
    done = subprocess.run(run, env=variables, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert "1 of 3 cells have no valid run" in done.stderr

    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    limits = summary[["mps", "sm_chunks", "memory_limit_mib", "runs"]].fillna(0)
    assert limits.values.tolist() == [[False, 0, 0, 1], [True, 4, 2048, 1], [True, 99, 2048, 0]]
    assert "on 4 chunks 2048 MiB" in done.stdout
    refused = [trial for trial in trials(tmp_path) if trial["sm_chunks"] == 99]
    assert [trial["valid"] for trial in refused] == [False]
    assert "no static partition of 99 chunks" in refused[0]["problems"][0]
    assert programs_in(own_tmp) == []


@pytest.mark.wide
def test_a_worker_that_did_not_join_makes_the_trial_invalid(tmp_path: Path, own_tmp: Path) -> None:
    options = ["--batch-size", "4", "--duration", "0.3", "--warm-up", "0.1", "--runs", "1"]
    run, environment = command(tmp_path, SLEEPS, *options, strays=1)
    done = subprocess.run(run, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert [trial["mps"] for trial in trials(tmp_path)] == [False, True]
    for trial in trials(tmp_path):
        assert trial["valid"] is not trial["mps"]
        if trial["mps"]:
            assert "is no client of the MPS daemon in the arm with it" in trial["problems"][0]


@pytest.mark.wide
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_arm_with_mps_puts_the_compute_mode_back(
    tmp_path: Path, own_tmp: Path, number: int
) -> None:
    options = ["--workers", "1", "--batch-size", "4", "--duration", "1", "--warm-up", "0.1", "--runs", "3"]
    run, environment = command(tmp_path, SLEEPS, *options)
    process = subprocess.Popen(
        run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    wait_for_mode(process, tmp_path / "card", 3)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in stderr
    assert facts_of(tmp_path / "card")["compute_mode"] == 0
    assert programs_in(own_tmp) == []


@pytest.mark.wide
def test_a_killed_torchserve_in_the_arm_with_mps_costs_one_trial_which_is_measured_again(
    tmp_path: Path, own_tmp: Path
) -> None:
    options = ["--workers", "1", "--batch-size", "4", "--duration", "1", "--warm-up", "0.1", "--runs", "3"]
    run, environment = command(tmp_path, SLEEPS, *options)
    process = subprocess.Popen(
        run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    wait_for_mode(process, tmp_path / "card", 3)
    frontend = wait_for_frontend(process.pid)
    deadline = time.monotonic() + 60
    while not any(trial["mps"] for trial in trials(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # in the midst of the second run
    frontend.kill()
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    measured = trials(tmp_path)
    assert sum(not trial["attempt"] for trial in measured) == 6, stderr
    (lost,) = [trial for trial in measured if not trial["valid"]]
    assert lost["mps"]
    assert lost["may_have_passed"]
    assert len({(trial["mps"], trial["run"]) for trial in measured if trial["valid"]}) == 6
    assert "control ps" in transcript(tmp_path / "card"), "who is left of its workers was to leave the daemon"
    assert facts_of(tmp_path / "card")["compute_mode"] == 0
    assert programs_in(own_tmp) == []


# In the place of NVIDIA's program: something kills it as it starts, once.
KILLED_ONCE = """#!/bin/sh
if [ "$1" = -f ] && mkdir "$STAND_IN_GPU/killed" 2>/dev/null; then
  kill -9 $$
fi
exec {recorded} "$@"
"""


@pytest.mark.wide
def test_a_daemon_that_is_killed_as_it_starts_costs_one_trial_which_is_measured_again(
    tmp_path: Path, own_tmp: Path
) -> None:
    control = tmp_path / "killed-once"
    control.write_text(KILLED_ONCE.format(recorded=FOLDER / "recorded"))
    control.chmod(0o755)
    options = ["--workers", "1", "--batch-size", "4", "--duration", "1", "--warm-up", "0.1", "--runs", "3"]
    run, environment = command(tmp_path, SLEEPS, *options, control=control)
    done = subprocess.run(run, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    measured = trials(tmp_path)
    (lost,) = [trial for trial in measured if not trial["valid"]]
    assert lost["mps"]
    assert lost["may_have_passed"]
    assert "was killed by SIGKILL at its start" in str(lost["problems"])
    assert len({(trial["mps"], trial["run"]) for trial in measured if trial["valid"]}) == 6
    assert facts_of(tmp_path / "card")["compute_mode"] == 0
    assert programs_in(own_tmp) == []


def test_another_process_on_the_gpu_is_said_before_anything_starts(tmp_path: Path, own_tmp: Path) -> None:
    run, environment = command(tmp_path, SLEEPS)
    a_card(tmp_path / "card", processes=[[os.getpid(), 2**30]])
    done = subprocess.run(run, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2
    assert "uses NVIDIA H200 and would be measured too" in done.stderr
    assert not (tmp_path / "out").exists()


def wait_for_mode(process: "subprocess.Popen[str]", card: Path, mode: int) -> None:
    deadline = time.monotonic() + 60
    while facts_of(card)["compute_mode"] != mode:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_frontend(pid: int) -> psutil.Process:
    """The TorchServe that the sweep runs now."""
    deadline = time.monotonic() + 60
    while True:
        for child in psutil.Process(pid).children():
            with suppress(psutil.Error):  # it may end while we look
                if "org.pytorch.serve.ModelServer" in child.cmdline():
                    return child
        assert time.monotonic() < deadline
        time.sleep(0.05)
