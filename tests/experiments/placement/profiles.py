"""Profiles and problems that tests place."""

from experiments.placement.card import Shares
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.problem import Problem, Rules


def table(**models: float) -> LatencyTable:
    """Models whose batches take `per_request_ms` a request and a millisecond on the whole GPU, and in
    proportion more on less of it."""
    return LatencyTable(
        Measured(model, size, batch, (1 + per_request_ms * batch) * 100 / size)
        for model, per_request_ms in models.items()
        for size in Shares().sizes
        for batch in (1, 2, 4, 8, 16, 32)
    )


def problem(*asked: tuple[str, float, float], rules: Rules | None = None, **models: float) -> Problem:
    """(model, rate, bound) of each workload, on models as in `table`, by default a and b."""
    workloads = tuple(Workload(model, model, rate_rps, slo_ms) for model, rate_rps, slo_ms in asked)
    return Problem(workloads, table(**(models or {"a": 1.0, "b": 2.0})), rules or Rules())
