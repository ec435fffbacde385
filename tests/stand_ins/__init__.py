"""Stand-ins for what a machine without a GPU lacks: NVML, and an nvidia-smi that sets the compute mode.

Both keep the card in one folder, named by the environment variable STAND_IN_GPU: `card.json` is what NVML
says, `transcript` has a line for every change that was asked for. They fail as the real ones do.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
NVIDIA_SMI = FOLDER / "nvidia-smi"
VARIABLE = "STAND_IN_GPU"
UUID = "GPU-5d1f0c4e-0000-4a3b-8c2d-0123456789ab"


def a_card(folder: Path, **facts: Any) -> Path:
    """Puts a card into `folder`: an H200, idle, in DEFAULT mode, but for the `facts` given."""
    card = {
        "lost": [],  # NVML error codes of the cards before this one, which answer nothing
        "init_error": None,  # an NVML error code that nvmlInit fails with
        "name": "NVIDIA H200",
        "uuid": UUID,
        "driver": "580.159.04",
        "driver_cuda": 13_000,  # the newest CUDA of that driver
        "memory_bytes": 150_754_820_096,  # None: not told, as of a GB10 or in a container with a MIG slice
        "memory_used_bytes": 625_344_512,
        "cores": 16_896,
        "compute_capability": [9, 0],
        "compute_mode": 0,  # None: a Tegra has none
        "utilisation_percent": 37,
        "mig": [0, 0],  # None: not supported by the card
        "ecc": [1, 1],  # current and pending; None: a card without it
        "throttle_reasons": 1,
        "temperature_c": 31,
        "persistence": 1,  # 0: the driver forgets the compute mode once nobody has NVML open; None: unknown
        "functions_lacking": [],  # of NVML, in this driver
        "processes": [],  # [pid, bytes or None]
        "mps_processes": [],
        "smi": "allowed",  # or refused, not supported, no driver
    }
    assert facts.keys() <= card.keys()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json.new").write_text(json.dumps(card | facts))
    (folder / "card.json.new").replace(folder / "card.json")  # whole for whoever reads it meanwhile
    (folder / "transcript").touch()
    return folder


def change(folder: Path, **facts: Any) -> None:
    """Changes what NVML says of the card in `folder`."""
    a_card(folder, **(json.loads((folder / "card.json").read_text()) | facts))


def facts_of(folder: Path) -> dict[str, Any]:
    """The card as it is now."""
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return card


def transcript(folder: Path) -> list[str]:
    """What was asked for, in order."""
    return (folder / "transcript").read_text().splitlines()


NEWER_CONTROL = FOLDER / "newer" / "nvidia-cuda-mps-control"
MPS_VARIABLE = "STAND_IN_MPS"


def choose(folder: Path, **facts: Any) -> None:
    """Chooses how the stand-in for newer control programs behaves from its next command on: its FACTS."""
    path = folder / "facts.json"
    chosen = json.loads(path.read_text()) if path.exists() else {}
    path.with_suffix(".new").write_text(json.dumps(chosen | facts))
    path.with_suffix(".new").replace(path)
