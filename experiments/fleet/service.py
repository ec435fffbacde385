"""A model as a fleet runs it: in so many instances alike, each a TorchServe with these settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sharing = Literal["whole", "time-slicing", "mps-in-pod", "mps-device-plugin", "mps-dra", "mig"]


@dataclass(frozen=True, slots=True)
class Service:
    """One deployed service. `card` is the kind of GPU that an instance has a part of, None on a CPU.

    `share_percent` is the active thread percentage of an instance, None where it has the whole card;
    `instances_per_card` is how many of them are on one. `capacity_rps` is the rate at which an instance was
    measured, or predicted, to keep `bound_ms` for `percentile` percent of its requests; `loading_s` what it
    takes from its start until it answers. `scale_at` is the part of the capacity at which an instance is
    added, None where nothing is known of how the demand grows.
    """

    name: str
    archive: str
    workers: int
    batch_size: int
    batch_delay_ms: int
    instances: int
    least_instances: int
    most_instances: int
    capacity_rps: float
    bound_ms: float
    vcpus: float
    memory_bytes: int
    loading_s: float
    percentile: float = 99.0
    card: str | None = None
    sharing: Sharing = "whole"
    share_percent: int | None = None
    instances_per_card: int = 1
    gpu_memory_bytes: int | None = None
    scale_at: float | None = None
