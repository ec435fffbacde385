"""A server before its rounds: the latency of a request alone, and what it spends when it has nothing to do.

Measured where a plan compares servers or engines, once each time that a model is loaded, so it costs a cell a
few seconds, and a sweep of TorchServe alone nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.base.errors import ServerError
from experiments.load import Answers, Body, ClosedLoop, LoadError, Sending
from experiments.load.sources import HERE, Source
from experiments.measure.hosts import Host, as_ours
from experiments.plan import Plan
from experiments.plan.servers import TORCHSERVE
from experiments.servers.served import cpu_s
from experiments.serving.instances import processes_of

WARM_UP_S = 0.5
ALONE_S = 1.0
IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Alone:
    """`latency_ms` is the median of requests that were sent one at a time, `idle_cpu_cores` the CPU seconds a
    second of all of the server's processes without any. `answers` came to the former, in our form."""

    latency_ms: float | None = None
    idle_cpu_cores: float | None = None
    answers: Answers | None = None


def is_wanted(plan: Plan) -> bool:
    """Whether a plan lays servers or engines side by side."""
    return len(plan.engine) > 1 or any(server != TORCHSERVE for server in plan.server)


def measured_alone(server: Host, pool: Sequence[Body], seed: int, source: Source = HERE) -> Alone:
    """Sends `pool` one at a time, then nothing. Where a request fails there is no latency.

    Raises ServerError where the server is gone.
    """
    traffic = ClosedLoop(1, duration_s=ALONE_S, warm_up_s=WARM_UP_S)
    try:
        sending = Sending(server.predict_url, pool, traffic, server.headers, seed)
        found = source.send(sending, keep_answers=True).result
    except LoadError as error:
        raise ServerError(str(error), details=server.log_since(0)) from error
    family = processes_of(server.folder)
    spent_s, begin_s = cpu_s(family), time.perf_counter()
    time.sleep(IDLE_S)
    idle = (cpu_s(family) - spent_s) / (time.perf_counter() - begin_s)
    answers = found.answers and as_ours(server, found.answers)
    good = bool(found.requests) and not found.problems()
    return Alone(found.latency_ms(50) if good else None, idle, answers)
