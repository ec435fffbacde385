"""Where a result was measured: machine, versions, commit, command. Read once, at the start of a run."""

import dataclasses
import os
import platform
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

import psutil

from experiments.base.cores import core_limit, core_quota
from experiments.base.paths import ROOT
from experiments.base.torch_build import torch_build
from experiments.serving.java import find_java
from mps import card

# Of the environment: what TorchServe, our handlers, torch and CUDA read from it.
ENGINES = ("onnxruntime", "openvino")  # beside torch, where they are installed
SECRET = re.compile(r"PASS|SECRET|CREDENTIAL|PRIVATE|(KEY|TOKEN)$")  # TS_KEYSTORE_PASS: results are passed on
HEEDED = ("TS_", "HANDLER_", "TORCH", "PYTORCH_", "CUDA_", "CUBLAS", "CUDNN_", "NVIDIA_TF32", "OMP_", "MKL_")
PACKAGES = ("torch", "transformers", "tokenizers", "torchserve", "numpy", "pillow", "uvloop", "httptools")
CPU_INFO = Path("/proc/cpuinfo")
CUDA_PACKAGES = ("nvidia-", "cuda-", "triton")  # what pip adds for a torch with CUDA: cuDNN, cuBLAS, ...


def describe(command: list[str], seed: int) -> dict[str, Any]:
    """Everything about this machine and program that a figure may depend on, as JSON-ready values."""
    build = torch_build()
    return {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "seed": seed,
        "cpu": {"model": cpu_model(), "cores": _whole(core_limit()), "logical_cores": psutil.cpu_count()},
        "cpu_quota_cores": core_quota(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus(),
        "gpu_is_stood_in_for": card.is_stood_in_for(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "java": _java_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "torch_cuda": build.cuda if build else None,
        "cuda_packages": _cuda_packages(),
        "engines": {name: found for name in ENGINES if (found := _version(name))},
        "nvml": _nvml_version(),
        **_commit(),
        "variables": {key: _noted(key, value) for key, value in os.environ.items() if key.startswith(HEEDED)},
        "load_average_1min": _load_average(),
    }


def _noted(name: str, value: str) -> str:
    """A variable's value, or that it is one to keep."""
    return "(kept secret)" if SECRET.search(name) else value


def cpu_model(info: Path = CPU_INFO) -> str | None:
    """The processor's name as the kernel tells it; None where it doesn't.

    A virtual machine may have one without a number, such as "AMD EPYC" of whichever generation: then with its
    family and model, of which one generation does twice what another does.
    """
    told = {}
    with suppress(OSError):
        for line in info.read_text("utf-8").split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            told[key.strip()] = value.strip()
    name = told.get("model name")  # platform.processor() is the architecture, or empty
    if name and not any(character.isdigit() for character in name) and "cpu family" in told:
        return f"{name} (family {told['cpu family']}, model {told.get('model', '?')})"
    return name or None


def _load_average() -> float | None:
    with suppress(OSError):
        return os.getloadavg()[0]
    return None


def _whole(cores: float) -> float:
    """2 and not 2.0, but 2.5: only a quota leaves a part of a core."""
    return int(cores) if cores.is_integer() else cores


def gpus() -> list[dict[str, Any]]:
    """What NVML says of each GPU, empty where there is none that answers."""
    try:
        return [dataclasses.asdict(each) for each in card.gpus()]
    except (card.NoGpuError, card.GpuError):
        return []


def _nvml_version() -> str | None:
    try:
        return card.nvml_version()
    except (card.NoGpuError, card.GpuError):
        return None


def _cuda_packages() -> dict[str, str]:
    """The versions of the libraries that torch calls CUDA through, where pip installed them."""
    found = {each.metadata["Name"]: each.version for each in distributions()}
    return {name: found[name] for name in sorted(found) if name and name.startswith(CUDA_PACKAGES)}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What changed between two descriptions that makes their figures hard to compare."""
    newer = (key for key in ("torch_cuda", "cuda_packages", "engines") if key in before)  # from 2026-11-26 on
    keys = ("cpu", "gpus", "versions", "python", "java", "git_commit", *newer)
    return [f"{key}: {before.get(key)} -> {now[key]}" for key in keys if before.get(key) != now[key]]


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _commit() -> dict[str, Any]:
    """The commit of the code that measures, and whether it was changed; None where git can't tell both.

    So it is without git, in a clone of another user, which git won't look into, and in a copy without its
    repository: inside another one, git would tell that one's commit.
    """
    top = _git("rev-parse", "--show-toplevel")
    commit = _git("rev-parse", "HEAD") if top is not None and Path(top).resolve() == ROOT.resolve() else None
    changes = None if commit is None else _git("status", "--porcelain")
    return {"git_commit": commit, "git_dirty": None if changes is None else changes != ""}


def _git(*arguments: str) -> str | None:
    return _run(["git", "-C", str(ROOT), *arguments])


def _java_version() -> str | None:
    """The line that names the version: JAVA_TOOL_OPTIONS, where it is set, is told in a line before."""
    printed = _run([str(find_java()), "-version"], stderr=True)
    return next((line for line in (printed or "").splitlines() if ' version "' in line), None)


def _run(command: list[str], stderr: bool = False) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return (done.stderr if stderr else done.stdout).strip()


def python_command(module: str, arguments: list[str]) -> list[str]:
    """The command as the user typed it, to be shown and repeated."""
    return [Path(sys.executable).name, "-m", module, *arguments]
