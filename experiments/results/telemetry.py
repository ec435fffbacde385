"""What the machine did during a trial, summed up: the record. How it is sampled: watch/telemetry.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.results.typed import record_from

FRONTEND, WORKERS, LOAD_GENERATOR = PROCESS_GROUPS = ("frontend", "workers", "load_generator")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The samples of a measured window, summed up. None: could not be known; `problems` says why.

    Of the GPU as a whole, whoever used it: memory (maximum), utilisation (mean; the share of time in which
    any kernel ran), SM clock, power (mean), energy, temperature (maximum), throttle reasons seen, idling not
    among them. By worker, its pid as a string: GPU memory (maximum), where the driver tells it.

    By group of processes: `cpu_cores_used` (CPU seconds a second) and `rss_bytes` (resident memory, maximum;
    a page that several processes share counts for each of them). `other_cpu_cores` is what the usable cores
    spent on anything else, `gpu_processes` how many processes the GPU had at most, ours among them.

    Of a CPU quota, the one that stopped us most where several hold: `quota_periods` that were begun,
    `quota_stopped_periods` among them in which it was used up, and `quota_stopped_s` lost so, summed over the
    cores. None where there is no quota.
    """

    window_s: float | None = None
    samples: int = 0
    cpu_cores_used: Mapping[str, float | None] = field(default_factory=dict)
    rss_bytes: Mapping[str, int | None] = field(default_factory=dict)
    gpu_memory_bytes_total: int | None = None
    gpu_memory_bytes_by_worker: Mapping[str, int] | None = None
    gpu_utilisation_percent: float | None = None
    sm_clock_mhz_min: int | None = None
    sm_clock_mhz_mean: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    energy_j_per_1000_requests: float | None = None
    temperature_c: int | None = None
    throttle_reasons: Sequence[str] | None = None
    sampler_cpu_cores: float | None = None
    other_cpu_cores: float | None = None
    gpu_processes: int | None = None
    quota_periods: int | None = None
    quota_stopped_periods: int | None = None
    quota_stopped_s: float | None = None
    problems: Sequence[str] = ()


def telemetry_from(line: Mapping[str, Any]) -> Telemetry:
    """The inverse of dataclasses.asdict, through JSON too. What was not measured in its time is not known.

    Raises ValueError where a field is not of its type.
    """
    return with_tuples(record_from(Telemetry, line))


def with_tuples(read: Telemetry) -> Telemetry:
    """As it was before it went through JSON, which knows lists only."""
    reasons = read.throttle_reasons
    return replace(
        read, throttle_reasons=None if reasons is None else tuple(reasons), problems=tuple(read.problems)
    )
