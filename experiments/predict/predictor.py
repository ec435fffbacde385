"""Measured costs and a plan -> what each of its cells would give: Predicted."""

from dataclasses import replace
from functools import cache

from experiments.plan import Cell, Plan, parse_slo
from experiments.predict.costs import Costs, costs_from
from experiments.predict.predicted import Predicted, Predictor
from experiments.predict.simulation import Offered, Simulated, Station, simulate
from experiments.results.ceilings import Ceilings

HALVINGS = 10  # of a rate that is searched: within a thousandth of what the workers carry


def predictor(measured: Ceilings | Costs, plan: Plan) -> Predictor:
    """Predicts cells of `plan`, or others under the same load. Raises ExperimentError where no bare model was
    measured.

    What was not measured at a cell's settings is taken from the most alike ones, and its `log_sd` says so.
    Where the plan searches the highest rate that keeps a bound, the figures are those of that rate.
    """
    costs = costs_from(measured) if isinstance(measured, Ceilings) else measured

    @cache
    def predict(cell: Cell) -> Predicted:
        found = [costs.of(cell, size) for size in range(1, cell.batch_size + 1)]
        batch_ms = tuple(each.batch_ms for each in found)
        station = Station(cell.workers, cell.batch_delay_ms, batch_ms, stalls=costs.stalls_of(cell))
        simulated = _searched(station, plan, cell) if plan.slo else simulate(station, offered(plan, cell))
        bound_rps = costs.bound_rps(cell)
        return Predicted(
            min(simulated.throughput_rps, bound_rps),
            simulated.p50_ms,
            simulated.p95_ms,
            simulated.p99_ms,
            simulated.filled_batch,
            found[-1].doubts.log_sd,
        )

    return lambda cell: predict(replace(cell, twin=False))


def offered(plan: Plan, cell: Cell) -> Offered:
    """The load that a cell gets."""
    load = plan.load_of(cell)
    poisson = load.arrivals == "poisson"
    return Offered(load.connections, cell.rate_rps, poisson, load.duration_s, load.requests)


def _searched(station: Station, plan: Plan, cell: Cell) -> Simulated:
    """At the highest rate that keeps the plan's bound; the lowest looked at where none does."""
    slo = parse_slo(plan.slo or "")
    load = replace(offered(plan, cell), percentile=slo.percentile)
    low_rps, high_rps = 0.0, station.most_rps
    best: Simulated | None = None
    for _ in range(HALVINGS):
        rate_rps = (low_rps + high_rps) / 2
        found = simulate(station, replace(load, rate_rps=rate_rps))
        if found.asked_ms <= slo.bound_ms:
            low_rps, best = rate_rps, found
        else:
            high_rps = rate_rps
    return best or found
