"""The doctor as a program: on this machine as it is, and with NVIDIA's own programs but no driver."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments.base.paths import ROOT
from mps.control import PIPE_VARIABLE, mps_daemon
from scripts.fetch_mps import FetchError, NvidiaPrograms, fetch

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def programs() -> NvidiaPrograms:
    try:
        return fetch()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's own programs, they can't be fetched: {error}")


@pytest.fixture(autouse=True)
def _without_a_gpu() -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver; these tests are of machines that have none")


def doctor(**env: str) -> tuple[int, dict[str, Mapping[str, Any]]]:
    """The exit code and the checks by name; of several with one name the last."""
    done = subprocess.run(
        [sys.executable, "-m", "mps.doctor", "--json"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != PIPE_VARIABLE} | env,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["can_run_with_mps"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def with_nvidias(programs: NvidiaPrograms) -> dict[str, str]:
    folders = [str(programs.control.parent), str(programs.smi.parent), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(folders), "LD_LIBRARY_PATH": str(programs.libraries)}


def refusal_of_the_sweep(**env: str) -> str:
    """The line with which `mps.run --with-mps` ends at once."""
    command = [sys.executable, "-m", "mps.run", "--with-mps"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_sweep_with_mps_is_refused_with_the_way_on() -> None:
    line = refusal_of_the_sweep()
    assert line.startswith("error: no NVIDIA driver here")
    assert "go on without --with-mps" in line
    assert "`python -m mps.doctor` tells more" in line


def test_a_sweep_with_mps_is_refused_beside_nvidias_own_programs_without_a_driver(
    programs: NvidiaPrograms,
) -> None:
    line = refusal_of_the_sweep(**with_nvidias(programs))
    assert line.startswith("error: NVIDIA's driver is not loaded")
    assert "go on without --with-mps" in line


def test_this_machine_as_it_is() -> None:
    code, checks = doctor()
    assert code == 1
    assert checks["NVML"]["status"] == "fail"
    assert "go on without --with-mps" in checks["NVML"]["remedy"]
    assert checks["Java"]["status"] == "ok"
    assert checks["TorchServe"]["found"] == "0.12.0"


def test_nvidias_programs_without_a_driver(programs: NvidiaPrograms) -> None:
    """Debian's nvidia-smi ends with code 9 then."""
    code, checks = doctor(**with_nvidias(programs))
    assert code == 1
    assert "couldn't communicate with the NVIDIA driver" in checks["driver"]["found"]
    assert checks["NVML"]["found"] == "NVIDIA's driver is not loaded"
    assert checks["control daemon"]["status"] == "ok"
    assert str(programs.control) in checks["control daemon"]["found"]


def test_a_daemon_that_runs_is_named(programs: NvidiaPrograms) -> None:
    with mps_daemon(binary=programs.control) as daemon:
        code, checks = doctor(**with_nvidias(programs), **{PIPE_VARIABLE: str(daemon.pipe_folder)})
    assert code == 1
    assert f"(protocol 2, pid {daemon.pid}" in checks["running daemon"]["found"]
    assert "--use-running-daemon" in checks["running daemon"]["remedy"]


def test_the_doctor_does_without_torch() -> None:
    """Importing it takes seconds, and would open a GPU."""
    code = (
        "import sys; import mps.doctor; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
