"""Queues that can be computed: departures from arrivals and service times, and what theory says of them.

Here: pure arithmetic. The server that behaves so, and writes down when, is scripted_server.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stall:
    """No work is done in the last `length_s` of every `period_s`, counted from the first arrival."""

    period_s: float
    length_s: float

    def finish(self, start_s: float, work_s: float) -> float:
        """When work that begins at `start_s` is done."""
        working_s = self.period_s - self.length_s
        period, phase_s = divmod(start_s, self.period_s)
        if phase_s >= working_s:
            period, phase_s = period + 1, 0.0
        more, last_s = divmod(phase_s + work_s, working_s)
        return (period + more) * self.period_s + last_s


NO_STALL = Stall(math.inf, 0.0)


def finish(stall: Stall, start_s: float, work_s: float) -> float:
    """When work that begins at `start_s`, seconds after the first arrival, is done."""
    return start_s + work_s if stall == NO_STALL else stall.finish(start_s, work_s)


def departures(
    arrivals_s: Sequence[float] | NDArray[np.float64],
    services_s: Sequence[float] | NDArray[np.float64],
    most: int = 1,
    stall: Stall = NO_STALL,
) -> NDArray[np.float64]:
    """When each request leaves a server that takes up to `most` waiting ones together, first come first.

    `arrivals_s` ascend; `services_s` are the times of the first, second, ... batch, again and again. With
    `most` = 1 this is Lindley's recursion.
    """
    origin_s = arrivals_s[0]
    done_s = np.empty(len(arrivals_s))
    free_s, first, batches = -math.inf, 0, 0
    while first < len(arrivals_s):
        start_s = max(free_s, arrivals_s[first])
        stop = first + 1
        while stop < len(arrivals_s) and stop < first + most and arrivals_s[stop] <= start_s:
            stop += 1
        work_s = services_s[batches % len(services_s)]
        free_s = origin_s + finish(stall, start_s - origin_s, work_s)
        done_s[first:stop] = free_s
        first, batches = stop, batches + 1
    return done_s


def fifo_departures(
    arrivals_s: NDArray[np.float64], services_s: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for one request at a time and no stalls, and much faster: Lindley's recursion unrolled."""
    work_s = np.cumsum(np.resize(services_s, len(arrivals_s)))
    before_s = np.concatenate([[0.0], work_s[:-1]])
    return work_s + np.maximum.accumulate(arrivals_s - before_s)


# Mean time in the system, waiting and service, of Poisson arrivals: the Pollaczek-Khinchine formula.


def mean_of_mm1(rate_rps: float, service_s: float) -> float:
    """One server, exponential service times."""
    return service_s / (1 - rate_rps * service_s)


def mean_of_md1(rate_rps: float, service_s: float) -> float:
    """One server, constant service times."""
    busy = rate_rps * service_s
    return service_s + busy * service_s / (2 * (1 - busy))


def percentile_of_mm1(rate_rps: float, service_s: float, percentile: float) -> float:
    """The time in an M/M/1 system is exponentially distributed."""
    return -math.log(1 - percentile / 100) * mean_of_mm1(rate_rps, service_s)
