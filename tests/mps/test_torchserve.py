"""What `torchserve --start --mps` refuses before anything starts, and what is TorchServe's own command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.serving.under_mps import COMMAND, cards_to_serve_on
from mps.card import device
from tests.stand_ins import FOLDER, UUID, VARIABLE, a_card
from tests.stand_ins import pynvml as stand_in_pynvml


def refusal(*arguments: str, **env: str) -> str:
    """The one line with which `torchserve` ends at once, as it is installed."""
    left_out = ("CUDA_VISIBLE_DEVICES", "TS_CONFIG_FILE")
    environment = {key: value for key, value in os.environ.items() if key not in left_out} | env
    done = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    return line


def stood_in(folder: Path, **facts: Any) -> dict[str, str]:
    """The environment of a machine with such a card, and no program of NVIDIA's."""
    binaries = folder / "bin"
    binaries.mkdir()
    return {VARIABLE: str(a_card(folder / "card", **facts)), "PYTHONPATH": str(FOLDER), "PATH": str(binaries)}


@pytest.mark.thorough
def test_without_a_gpu_it_says_why() -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    line = refusal("--start", "--mps")
    assert line.startswith("error: no NVIDIA driver here")
    assert line.endswith("or go on without --mps")


@pytest.mark.thorough
def test_without_the_control_program_it_says_where_it_is_had(tmp_path: Path) -> None:
    line = refusal("--start", "--mps", **stood_in(tmp_path))
    assert line.startswith("error: no nvidia-cuda-mps-control here: it comes with NVIDIA's driver")
    assert line.endswith("go on without --mps")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "--thread-percentage", "50"], "is a setting of MPS: give --mps too"),
        (["--stop", "--mps"], "--mps goes with --start"),
        (["--start", "--mps", "--thread-percentage=101"], "a whole number from 1 to 100, not 101"),
    ],
)
def test_what_can_not_be_together_is_said(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an H200, on a machine that has a control program."""
    (tmp_path / "nvidia-cuda-mps-control").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-cuda-mps-control").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "card"))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return a_card(tmp_path / "card")


def test_the_cards_are_those_that_torchserve_would_use(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [each.uuid for each in cards_to_serve_on()] == [UUID]
    a_card(card, processes=[[os.getpid(), 2**30]])  # others may use it too
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [each.uuid for each in cards_to_serve_on()] == [UUID]
    for none, said in (("", "no GPU ''"), ("0,7", "no GPU '7'")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        with pytest.raises(UsageError, match=said):
            cards_to_serve_on()


@pytest.mark.parametrize(
    ("facts", "said"), [({"mig": [1, 1]}, "MIG is on"), ({"compute_mode": 2}, "in compute mode PROHIBITED")]
)
def test_a_card_that_mps_can_not_serve_on_is_named(card: Path, facts: dict[str, Any], said: str) -> None:
    a_card(card, **facts)
    with pytest.raises(UsageError, match=said):
        cards_to_serve_on()


@pytest.mark.thorough
def test_without_mps_it_is_torchserves_command() -> None:
    for command in ([sys.executable, "-m", "mps.torchserve"], [*COMMAND]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stdout) == (0, "TorchServe Version is 0.12.0\n"), done.stderr


def test_the_help_of_the_command_tells_of_mps() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert "--ts-config" in done.stdout
    assert done.stdout.index("--ts-config") < done.stdout.index("--mps")
