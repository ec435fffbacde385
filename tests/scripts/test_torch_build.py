"""`make setup`'s choice of torch: quick where an index can't be reached, obedient where it is told."""

import os
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from experiments.base.paths import ROOT


def asked(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "torch_build.py"), *arguments]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, cwd="/", timeout=60)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_index_that_is_not_there_leaves_pip_its_own(closed_port: int) -> None:
    index = f"http://127.0.0.1:{closed_port}/whl"
    done = asked("cpu", TORCH_INDEX=index)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"setup: {index}/cpu can't be reached: the torch that pip's own index has is taken\n"
    )


@pytest.mark.thorough
def test_an_index_that_answers_is_pips_second_one(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "torch").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{http.server_port}"
        done = asked("cpu", TORCH_INDEX=index, PYTHONPATH=a_torch(tmp_path))
        http.shutdown()
    assert done.stdout == f"--extra-index-url {index}/cpu\n", done.stderr


def test_a_machine_without_a_driver_gets_the_build_for_cpus(tmp_path: Path, closed_port: int) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    done = asked(TORCH_INDEX=f"http://127.0.0.1:{closed_port}")
    assert "no NVIDIA driver: torch's build 'cpu'" in done.stderr


def test_an_unknown_build_is_refused() -> None:
    done = asked("cu118")
    assert done.returncode == 1
    assert done.stderr == "setup: there is no TORCH=cu118: give cpu, cu126 or default\n"


def test_pip_args_win_and_another_torch_builds_anew(tmp_path: Path) -> None:
    """What make would do, without doing it."""

    def would(*words: str) -> str:
        command = ["make", "-n", "setup", f"VENV={tmp_path}", *words]
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "TORCH", "PIP_ARGS")}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "scripts/torch_build.py" not in would("PIP_ARGS=--index-url x", "TORCH=cu126")
    assert "scripts/torch_build.py cu126" in would("TORCH=cu126")
    (tmp_path / ".torch").write_text("cu126\n")
    (tmp_path / ".ready").touch()
    assert "pip install" not in would("TORCH=cu126")
    assert "pip install" not in would()
    assert "pip install" in would("TORCH=cpu")


def a_torch(folder: Path) -> str:
    """A torch of the build for CPUs, for Python's list of what is installed."""
    told = folder / "site" / "torch-2.13.0+cpu.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
    return str(told.parent)
