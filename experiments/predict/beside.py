"""A prediction beside what was measured: how far each cell is off."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.plan import Cell
from experiments.predict.predicted import Predicted, Predictor
from experiments.predict.predictor import predictor
from experiments.results.counting import by_cell, counting
from experiments.results.folder import Results

FAR_OFF_SD = 2.0
"""A cell is far off where its throughput differs by more of the prediction's own standard deviations."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A cell's prediction, and the medians over those of its runs that count."""

    cell: Cell
    predicted: Predicted
    throughput_rps: float
    p99_ms: float

    @property
    def throughput_ratio(self) -> float:
        """Measured over predicted."""
        return self.throughput_rps / self.predicted.throughput_rps

    @property
    def p99_ratio(self) -> float:
        """Measured over predicted."""
        return self.p99_ms / self.predicted.p99_ms

    @property
    def throughput_error(self) -> float:
        """How far the prediction is from what was measured, as a share of this."""
        return abs(self.predicted.throughput_rps / self.throughput_rps - 1)

    @property
    def p99_error(self) -> float:
        """How far the prediction is from what was measured, as a share of this."""
        return abs(self.predicted.p99_ms / self.p99_ms - 1)

    @property
    def far_off(self) -> bool:
        """Whether the prediction's own uncertainty does not explain it."""
        return bool(abs(np.log(self.throughput_ratio)) > FAR_OFF_SD * self.predicted.log_sd)


def beside(results: Results, predict: Predictor | None = None) -> list[Beside]:
    """Every cell that has a valid run, in the plan's order; by default as the folder's ceilings predict it.

    Empty where there are no ceilings. Raises ExperimentError where they hold no bare model.
    """
    if predict is None:
        if results.ceilings is None:
            return []
        predict = predictor(results.ceilings, results.plan)
    runs = by_cell(results.trials)
    found: list[Beside] = []
    for cell in results.plan.cells():
        counted = counting(runs.get(cell, ()))
        if counted:
            rps = float(np.median([run.throughput_rps for run in counted]))
            p99_ms = float(np.median([run.latency_ms["p99"] for run in counted]))
            found.append(Beside(cell, predict(cell), rps, p99_ms))
    return found


def spread(errors: Sequence[float]) -> tuple[float, float, float]:
    """The median, the 90th percentile and the worst; NaN of none."""
    if not errors:
        return (float("nan"),) * 3
    median, ninth = np.percentile(errors, (50, 90))
    return float(median), float(ninth), float(max(errors))
