"""One trial: put its load on a registered model and turn what came back into a TrialResult.

The server is started and the model registered elsewhere; where results go is not known here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from experiments.load import Body, ClosedLoop, LoadError, LoadResult, run
from experiments.plan import Trial
from experiments.results import PERCENTILES, TrialResult
from experiments.server import ServerError, TorchServe, Worker


def measure(
    trial: Trial, server: TorchServe, workers: Sequence[Worker], pool: Sequence[Body], torch_threads: int
) -> tuple[TrialResult, LoadResult]:
    """Warms up, measures, and checks that every answer was good and every worker lived through it.

    `workers` are those that the registration returned. Raises ServerError when the server is gone.
    """
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    load = trial.load
    traffic = ClosedLoop(
        connections=load.connections,
        duration_s=load.duration_s,
        requests=load.requests,
        warm_up_s=load.warm_up_s,
    )
    try:
        measured = run(server.predict_url, pool, traffic, headers=server.headers, seed=trial.seed)
    except LoadError as error:
        raise ServerError(str(error), details=server.log_since(0)) from error
    problems = [*measured.problems(), *_worker_problems(workers, server.workers())]
    result = TrialResult(
        trial=trial,
        started_at=started_at,
        throughput_rps=measured.throughput_rps,
        latency_ms={f"p{p}": measured.latency_ms(p) for p in PERCENTILES} if measured.requests else {},
        answers=measured.requests,
        window_s=measured.window_s,
        statuses={str(status): count for status, count in sorted(measured.statuses.items())},
        lost_connections=measured.lost_connections,
        client_cpu_us_per_request=measured.cpu_us_per_request if measured.requests else None,
        torch_threads=torch_threads,
        worker_pids=[worker.pid for worker in workers],
        problems=problems,
    )
    return result, measured


def failed(trial: Trial, reason: str, torch_threads: int) -> TrialResult:
    """The record of a trial that could not be measured at all, because of `reason`."""
    return TrialResult(
        trial=trial,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        throughput_rps=0.0,
        latency_ms={},
        answers=0,
        window_s=0.0,
        statuses={},
        lost_connections=0,
        client_cpu_us_per_request=None,
        torch_threads=torch_threads,
        worker_pids=[],
        problems=[reason],
    )


def _worker_problems(before: Sequence[Worker], after: Sequence[Worker]) -> list[str]:
    alive = {worker.pid for worker in after if worker.status == "READY"}
    dead = [worker.pid for worker in before if worker.pid not in alive]
    return [f"{len(dead)} of {len(before)} workers died during the trial"] if dead else []
