"""What a results folder knows of how it was measured, beside its plan: the device, and how MPS was set up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.results import read_environment
from experiments.serving.arms import MpsOptions

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Setup:
    """`device` is a GPU's UUID or "cpu", None where the folder is older than that. `ceilings`: wanted."""

    device: str | None
    mps: MpsOptions
    ceilings: bool


def setup_of(folder: Path) -> Setup:
    """How the results of a folder were begun. Raises ExperimentError when it can't be read."""
    told = read_environment(folder)
    mps = told.get("mps_options") or {}
    options = MpsOptions(bool(mps.get("keep_compute_mode")), bool(mps.get("use_running_daemon")))
    return Setup(device_in(told), options, told.get("ceilings") is not False)


def device_in(told: Mapping[str, Any]) -> str | None:
    """The device of an environment.json: of its first start that tells one."""
    starts = [told, *(told.get("resumed") or [])]
    return next((start["device"] for start in starts if start.get("device")), None)
