"""What TorchServe and the handlers counted in a trial: the record. How it is counted: watch/counters.py."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted between two snapshots, in means.

    `latency_ms`: from a request's arrival in TorchServe to its answer; `queue_ms`: the part of it until a
    worker took it, waiting for its batch to fill included. `batch_rows`: requests in a batch. `handle_ms`,
    `prepare_ms`, `forward_ms`: of a batch. `handling`: how many workers were inside `handle`, on average over
    the time between the snapshots. The last five are None where the handler keeps no tally or had no batch.
    """

    requests: int
    latency_ms: float
    queue_ms: float
    batch_rows: float | None = None
    prepare_ms: float | None = None
    forward_ms: float | None = None
    handle_ms: float | None = None
    handling: float | None = None
