"""The figures of a run that a goal speaks of: what is to be large, and what is to stay below a bound."""

from collections.abc import Iterable

from experiments.plan import Bound, Goal
from experiments.results.telemetry import WORKERS, Telemetry
from experiments.results.trial_result import TrialResult


def known(asked: Goal | Bound, runs: Iterable[TrialResult]) -> list[float]:
    """The asked value of each run, where it was measured."""
    return [value for run in runs if (value := value_in(run, asked)) is not None]


def value_in(run: TrialResult, asked: Goal | Bound) -> float | None:
    """The figure that a goal makes large, or the value that a bound limits; None: it was not measured."""
    return _figure_in(run, asked) if isinstance(asked, Goal) else _bounded_in(run, asked)


def _figure_in(run: TrialResult, goal: Goal) -> float | None:
    """Requests/s or requests/J, every input of a request counted."""
    inputs = run.trial.cell.client_batch
    if goal.figure == "throughput":
        return run.throughput_rps * inputs
    energy_j = run.telemetry and run.telemetry.energy_j_per_1000_requests
    return 1000 / energy_j * inputs if energy_j else None


def _bounded_in(run: TrialResult, bound: Bound) -> float | None:
    """In ms or bytes, as the bound's limit is."""
    if bound.name in run.latency_ms:
        return run.latency_ms[bound.name]
    telemetry = run.telemetry or Telemetry()
    values = {"memory": telemetry.gpu_memory_bytes_total, "rss": telemetry.rss_bytes.get(WORKERS)}
    return values.get(bound.name)
