"""A placement as files: what TorchServe needs to serve it, and the placement itself for whoever routes to it.

placement.json, config.properties, start.sh, and model_store/ with a folder for each seat.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError, UsageError
from experiments.bench.model_store import furnish
from experiments.placement.deployment.seats import BATCH_DELAY_MS, Seat
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.serving.configured import shipped_with
from experiments.serving.torchserve.start import JVM_OPTIONS

PLACEMENT, PROPERTIES, START, STORE = "placement.json", "config.properties", "start.sh", "model_store"
RESPONSE_TIMEOUT_S = 120


def write_placement(
    folder: Path, problem: Problem, placement: Placement, seats: Sequence[Seat], at_least: int | None
) -> Path:
    """Writes placement.json: the demand, the parts of each GPU, and what share of a workload's requests goes
    to each of its seats. Raises ExperimentError where it can't be written."""
    content = {
        "demand": [asdict(workload) for workload in problem.workloads],
        "gpus": [[asdict(part) for part in parts] for parts in placement.gpus],
        "gpus_at_least": at_least,
        "seats": [
            {**asdict(seat), "rate_rps": round(problem.workloads[seat.workload].rate_rps * seat.weight, 3)}
            for seat in seats
        ],
    }
    path = folder / PLACEMENT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ExperimentError(f"can't write {path}: {error.strerror}; make room") from error
    return path


def write_deployment(
    folder: Path, problem: Problem, seats: Sequence[Seat], archives: Mapping[str, Path], gpus: int
) -> list[Path]:
    """Writes config.properties, start.sh and the model store. Raises UsageError where the folder has a store
    already, ExperimentError where they can't be written."""
    store = (folder / STORE).absolute()
    if store.exists():
        raise UsageError(f"{store} is there already: choose another --out, or remove it")
    on_gpu = seats[0].cores is None
    try:
        store.mkdir(parents=True)
        turns = folder.absolute() / "turns"
        turns.mkdir(exist_ok=True)
        (folder / PROPERTIES).write_text(_properties(store, seats, gpus if on_gpu else 0), "utf-8")
        (folder / START).write_text(_start_script(on_gpu), "utf-8")
        (folder / START).chmod(0o755)
    except OSError as error:
        raise ExperimentError(f"can't write to {folder}: {error.strerror}; make room") from error
    for seat in seats:
        archive = archives[problem.workloads[seat.workload].model]
        furnish(archive, store, seat.name, seat.handler_settings(str(turns)), _frontend_settings(seat))
    return [folder / PROPERTIES, folder / START, store]


def _frontend_settings(seat: Seat) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "batchSize": seat.batch,
        "maxBatchDelay": BATCH_DELAY_MS,
        "minWorkers": 1,
        "maxWorkers": 1,
        "responseTimeout": RESPONSE_TIMEOUT_S,
    }
    return settings if seat.cores is not None else {**settings, "deviceType": "gpu", "deviceIds": [seat.gpu]}


def _properties(store: Path, seats: Sequence[Seat], gpus: int) -> str:
    """This project's config.properties with the store of the placement. Every model by its name: with `all`
    TorchServe takes the archives' own, which those of one archive share."""
    changed = {
        "model_store": str(store),
        "load_models": ",".join(f"{seat.name}={seat.name}" for seat in seats),
        "number_of_gpu": str(gpus),
        "vmargs": " ".join(JVM_OPTIONS),
    }
    return shipped_with(changed, "Serves a placement; start it with start.sh.")


def _start_script(on_gpu: bool) -> str:
    lines = ["#!/bin/sh", "# Serves a placement, with this project's torchserve first on PATH."]
    if on_gpu:
        lines += ["export CUDA_DEVICE_ORDER=PCI_BUS_ID"]
    options = "--mps " if on_gpu else ""
    lines += [
        'cd "$(dirname "$0")"  # for the keys and the logs',
        f"exec torchserve --start {options}--ncs --ts-config {PROPERTIES}",
    ]
    return "\n".join(lines) + "\n"
