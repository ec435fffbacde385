"""The GPU: what NVML says of it, its compute mode, its processes. Knows of no daemon, and starts none."""

from mps.card.device import (
    DEFAULT,
    EXCLUSIVE_PROCESS,
    PROHIBITED,
    THROTTLE_REASONS,
    Gpu,
    GpuError,
    GpuProcess,
    NoGpuError,
    Reading,
    compute_mode,
    gpu,
    gpus,
    is_stood_in_for,
    nvml,
    persists,
    processes,
    read,
    throttle_reasons,
)
from mps.card.limits import max_mps_clients, preflight
from mps.card.mode import exclusive_process
from mps.card.shares import alike, multiprocessors_at, not_in_force

__all__ = [
    "DEFAULT",
    "EXCLUSIVE_PROCESS",
    "PROHIBITED",
    "THROTTLE_REASONS",
    "Gpu",
    "GpuError",
    "GpuProcess",
    "NoGpuError",
    "Reading",
    "alike",
    "compute_mode",
    "exclusive_process",
    "gpu",
    "gpus",
    "is_stood_in_for",
    "max_mps_clients",
    "multiprocessors_at",
    "not_in_force",
    "nvml",
    "persists",
    "preflight",
    "processes",
    "read",
    "throttle_reasons",
]
