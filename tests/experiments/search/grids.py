"""Made-up grids whose truth is known, to search in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.plan import Cell, Plan, Trial
from experiments.predict.predicted import Predicted, Predictor
from experiments.results import TrialResult
from experiments.search import Outcome, Rules, next_runs, outcome
from tests.support.builders import a_result

GRID = Plan(
    workers=(1, 2),
    batch_size=(1, 2, 4, 8, 16, 32),
    batch_delay_ms=(1, 5, 20, 50),
    runs=3,
    duration_s=4.0,
    warm_up_s=1.5,
    noise_floor=False,
    search=True,
)
SMALL = replace(GRID, batch_size=(1, 4, 8), batch_delay_ms=(10,))

Truth = Callable[[Cell], float]


def served_rps(cell: Cell) -> float:
    """A server whose batches take a while by themselves, and more for each request; delay costs a bit."""
    batch_s = 0.004 + 0.002 * cell.batch_size
    return cell.workers**0.8 * cell.batch_size / batch_s * (1 - 0.001 * cell.batch_delay_ms)


def measured(trial: Trial, truth: Truth, noise: float, seed: int) -> TrialResult:
    """A run with log-normal noise, the same whenever it is asked for."""
    key = [seed, trial.run, *(abs(hash(part)) % 2**31 for part in trial.cell.registration)]
    factor = float(np.exp(noise * np.random.default_rng(key).standard_normal()))
    rps = truth(trial.cell) * factor
    return a_result(trial, rps, p50_ms=1e3 * trial.load.connections / rps)


def searched(
    plan: Plan,
    truth: Truth = served_rps,
    noise: float = 0.03,
    seed: int = 0,
    predictor: Predictor | None = None,
    rules: Rules | None = None,
) -> tuple[list[TrialResult], Outcome]:
    """A whole search: its results, and how it stands at its end."""
    results: list[TrialResult] = []
    while trials := next_runs(plan, results, predictor, rules):
        results += [measured(trial, truth, noise, seed) for trial in trials]
    return results, outcome(plan, results, predictor, rules)


def predicting(truth: Truth, off: Mapping[int, float] | None = None, log_sd: float = 0.1) -> Predictor:
    """Predicts the truth, by a factor off for each number of workers."""

    def predict(cell: Cell) -> Predicted:
        rps = truth(cell) * (off or {}).get(cell.workers, 1.0)
        p50_ms = 1e3 * 2 * cell.workers * cell.batch_size / rps
        return Predicted(rps, p50_ms, 2 * p50_ms, 3 * p50_ms, float(cell.batch_size), log_sd)

    return predict


def cells_of(results: Sequence[TrialResult]) -> list[Cell]:
    """The cells that were measured, each once."""
    return list(dict.fromkeys(result.trial.cell for result in results))
