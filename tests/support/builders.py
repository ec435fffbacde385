"""Small results to test with: a plan, a trial of it, what the trial gave."""

from collections.abc import Sequence

import numpy as np

from experiments.load import LoadResult
from experiments.plan import Plan, Trial
from experiments.results.telemetry import Telemetry
from experiments.results.trial_result import TrialResult


def a_result(
    trial: Trial,
    throughput_rps: float = 100.0,
    p50_ms: float = 10.0,
    problems: Sequence[str] = (),
    statuses: dict[str, int] | None = None,
    lost_connections: int = 0,
    telemetry: Telemetry | None = None,
    disturbances: Sequence[str] = (),
    may_have_passed: bool = False,
) -> TrialResult:
    return TrialResult(
        trial=trial,
        started_at="2026-11-21T10:00:00.000+00:00",
        throughput_rps=throughput_rps,
        latency_ms={"p50": p50_ms, "p95": 2 * p50_ms, "p99": 3 * p50_ms},
        answers=400,
        window_s=4.0,
        statuses=statuses or {"200": 500},
        lost_connections=lost_connections,
        client_cpu_us_per_request=15.0,
        torch_threads=1,
        worker_pids=[1, 2],
        mps_clients=[1, 2] if trial.cell.mps else [],
        counted=None,
        gpu_memory_before_bytes=2**30 if telemetry else None,
        telemetry=telemetry,
        problems=list(problems),
        flags=list(disturbances),
        disturbances=tuple(disturbances),
        may_have_passed=may_have_passed,
    )


def a_gpu_telemetry(memory_bytes: int, energy_j: float) -> Telemetry:
    """Of a trial with 400 answers in 4 s."""
    return Telemetry(
        window_s=4.0,
        samples=40,
        cpu_cores_used={"frontend": 0.5, "workers": 1.5, "load_generator": 0.1},
        rss_bytes={"frontend": 2**29, "workers": 2**31, "load_generator": 2**27},
        gpu_memory_bytes_total=memory_bytes,
        gpu_utilisation_percent=80.0,
        sm_clock_mhz_min=1980,
        sm_clock_mhz_mean=1980.0,
        power_w=energy_j / 4,
        energy_j=energy_j,
        energy_j_per_1000_requests=energy_j / 400 * 1000,
        temperature_c=50,
        throttle_reasons=(),
    )


def a_load_result(requests: int = 8) -> LoadResult:
    ends_s = np.arange(1.0, requests + 1)
    return LoadResult(
        start_s=ends_s - 0.5,
        end_s=ends_s,
        status=np.full(requests, 200, np.int16),
        begin_s=5.0,
        window_s=float(requests),
        statuses={200: requests},
        lost_connections=0,
        first_error=None,
        client_cpu_s=0.001,
    )


def results_of(plan: Plan) -> list[TrialResult]:
    """A valid result for every trial: run n gives 100 + n requests/s."""
    return [a_result(trial, throughput_rps=100.0 + trial.run) for trial in plan.trials()]
