"""Results folders to make reports of: measured by nobody, so their GPU is said to be a stand-in."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import cos
from pathlib import Path
from typing import Any

from experiments.plan import Plan, Trial
from experiments.results import folder as results
from experiments.results.ceilings import Ceiling, Ceilings, write_ceilings
from experiments.results.roofline import Peaks, Work
from tests.support.builders import a_gpu_telemetry, a_result

BOTH_ARMS = Plan(workers=(1, 2), batch_size=(1, 8), with_mps=True, runs=6)
ENVIRONMENT: Mapping[str, Any] = {
    "started_at": "2026-11-21T08:03:42+00:00",
    "command": "python -m mps.run --with-mps",
    "cpu": {"model": "Abacus 9000", "cores": 16},
    "memory_bytes": 64 * 2**30,
    "gpus": [{"name": "NVIDIA Abacus", "memory_bytes": 16 * 2**30, "driver": "1.2"}],
    "gpu_is_stood_in_for": True,
    "python": "3.11.7",
    "java": "17",
    "versions": {"torch": "2.13.0", "torchserve": "0.12.0"},
    "git_commit": "0123456789abcdef",
    "git_dirty": False,
    "load_average_1min": 0.25,
    "archive": {
        "kind": "text",
        "architecture": "BertForSequenceClassification",
        "sha256": "ab" * 32,
        "source": "random",
        "random_weights": True,
    },
}
WITHOUT_GPU = {**ENVIRONMENT, "gpus": [], "gpu_is_stood_in_for": False}


def rps(trial: Trial) -> float:
    """More with workers and batch size, with MPS a quarter more at batch 8 and a tenth less at batch 1; every
    run within 1 % of that."""
    cell = trial.cell
    factor = 1.0 if not cell.mps else 1.25 if cell.batch_size > 1 else 0.9
    noise = 0.01 * cos(7 * trial.position + trial.run)
    return 100.0 * cell.workers**0.7 * cell.batch_size**0.5 * factor * (1 + noise)


def a_folder(
    path: Path,
    plan: Plan = BOTH_ARMS,
    *,
    environment: Mapping[str, Any] = ENVIRONMENT,
    trials: int | None = None,
    problems: Callable[[Trial], Sequence[str]] = lambda trial: (),
    ceilings: bool = False,
    scale: float = 1.0,
) -> Path:
    """A results folder with the plan's first `trials`, all of them by default."""
    results.create(path, plan, environment)
    telemetry = a_gpu_telemetry(2**31, 50.0)
    if not environment["gpus"]:
        telemetry = replace(telemetry, gpu_memory_bytes_total=None, energy_j_per_1000_requests=None)
    lines = []
    for trial in plan.trials()[:trials]:
        result = a_result(
            trial,
            throughput_rps=rps(trial) * scale,
            p50_ms=1000 * trial.load.connections / rps(trial),
            problems=problems(trial),
            telemetry=telemetry,
        )
        lines.append(json.dumps(result.to_json()) + "\n")
    (path / "trials.jsonl").write_text("".join(lines))
    if ceilings:
        write_ceilings(path, _ceilings(plan))
    return path


def _ceilings(plan: Plan) -> Ceilings:
    rows = [
        Ceiling(
            mps=trial.cell.mps,
            precision=None,
            thread_percentage=None,
            workers=trial.cell.workers,
            batch_size=trial.cell.batch_size,
            threads=1,
            bare_rps=rps(trial) * 2,
            empty_rps=5000.0,
            flops=1e14,
            bytes_per_s=1e12,
        )
        for trial in plan.trials()
        if trial.run == 1 and not trial.cell.twin
    ]
    return Ceilings(Work(22e9, 60e6, 220_000_000, "fp16"), Peaks(2e14, 2e12, "datasheet"), tuple(rows))
