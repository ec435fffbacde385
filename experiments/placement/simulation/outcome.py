"""What a workload got: latency percentiles, and the part of its requests that kept the bound."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.placement.demand import Workload
from experiments.placement.simulation.arrivals import Times
from experiments.placement.simulation.simulator import Played


@dataclass(frozen=True, slots=True)
class Outcome:
    """Requests that came, how many a second were answered, latencies in ms, and `attainment`: the part of all
    requests that were answered within the bound. Percentiles are infinite where requests were never answered.
    """

    workload: str
    requests: int
    throughput_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    attainment: float


def outcomes(workloads: Sequence[Workload], played: Played, warm_up_s: float = 0.0) -> list[Outcome]:
    """The outcome of each workload, in the demand's order; requests before `warm_up_s` don't count."""
    return [
        outcome(workload, arrived[arrived >= warm_up_s], answered[arrived >= warm_up_s])
        for workload, arrived, answered in zip(workloads, played.arrived_s, played.answered_s, strict=True)
    ]


def outcome(workload: Workload, arrived_s: Times, answered_s: Times) -> Outcome:
    """The outcome of a workload from when its requests came and when they were answered, in seconds, in any
    order."""
    if not len(arrived_s):
        return Outcome(workload.name, 0, 0.0, 0.0, 0.0, 0.0, 1.0)
    latency_ms = 1000 * (answered_s - arrived_s)
    served = np.isfinite(latency_ms)
    lasted_s = float(answered_s[served].max(initial=arrived_s.max()) - arrived_s.min())
    p50, p95, p99 = np.percentile(latency_ms, (50, 95, 99), method="lower").tolist()
    return Outcome(
        workload.name,
        len(arrived_s),
        float(served.sum() / lasted_s) if lasted_s > 0 else 0.0,
        p50,
        p95,
        p99,
        float((latency_ms <= workload.slo_ms * (1 + 1e-9)).mean()),
    )
