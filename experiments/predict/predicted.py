"""What is predicted of a cell, and who predicts it."""

from collections.abc import Callable
from dataclasses import dataclass

from experiments.plan import Cell


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a sweep would measure of a cell: requests/s, latencies, and the requests in a batch on average."""

    throughput_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    filled_batch: float
    log_sd: float  # standard deviation of ln(true throughput / predicted)


Predictor = Callable[[Cell], Predicted]
