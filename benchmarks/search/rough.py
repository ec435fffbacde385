"""A rough prediction from a sweep's ceilings: the bare model's time, and then the empty handler's.

What a search is worth that begins with no more than that. The tail of the latencies is a guess.
"""

from experiments.plan import Cell, Plan
from experiments.predict.predicted import Predicted, Predictor
from experiments.results import Ceilings

LOG_SD = 0.15
TAIL = {"p95": 1.2, "p99": 1.5}  # times the median


def rough_predictor(ceilings: Ceilings, plan: Plan) -> Predictor | None:
    """Predicts the cells of `plan`; None where one of them has no ceilings."""
    predicted = {}
    for cell in plan.cells():
        ceiling = ceilings.of(cell)
        if ceiling is None or not ceiling.bare_rps or not ceiling.empty_rps:
            return None
        predicted[cell] = _predicted(plan, cell, ceiling.bare_rps, ceiling.empty_rps)
    return predicted.__getitem__


def _predicted(plan: Plan, cell: Cell, bare_rps: float, empty_rps: float) -> Predicted:
    rps = 1 / (1 / bare_rps + 1 / empty_rps)
    p50_ms = 1e3 * plan.load_of(cell).connections / rps  # Little's law
    return Predicted(rps, p50_ms, TAIL["p95"] * p50_ms, TAIL["p99"] * p50_ms, cell.batch_size, LOG_SD)
