"""The requests of a part's residents, and whose batch is next.

Batches are formed before they wait for their turn, as TorchServe does, or when their turn comes (Nexus).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from experiments.placement.placed import Resident
from experiments.placement.simulation.arrivals import Times


@dataclass(slots=True)
class Queue:
    """The requests that go to one resident: `which` of its workload's, when they come, and how far it is.

    The first `head` of them are in batches of `counts`, which end at `ends_s`.
    """

    resident: Resident
    which: npt.NDArray[np.int64]
    times_s: list[float]
    head: int = 0
    counts: list[int] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)

    def collect(self, free_s: float, delay_s: float) -> tuple[float, int] | None:
        """When the batch of a worker that is free from then on is complete, and how many are in it; None when
        nobody comes any more."""
        times, head, most = self.times_s, self.head, self.resident.batch
        if head >= len(times):
            return None
        closed_s = max(free_s, times[head])
        if delay_s:
            full_s = times[head + most - 1] if head + most <= len(times) else float("inf")
            closed_s = max(closed_s, min(closed_s + delay_s, full_s))
        return closed_s, bisect_right(times, closed_s, head + 1, min(head + most, len(times))) - head

    def ended(self, count: int, end_s: float) -> None:
        """The next `count` of them are answered then."""
        self.head += count
        self.counts.append(count)
        self.ends_s.append(end_s)

    def answered_s(self) -> Times:
        """When each request so far was answered."""
        return np.repeat(np.array(self.ends_s, dtype=np.float64), np.array(self.counts, dtype=np.int64))


def play_alone(
    queue: Queue,
    free_s: list[float],
    seconds: Sequence[float],
    until_s: float,
    delay_s: float,
    worked_s: float = 0.0,
) -> float:
    """Serves the batches that are complete before `until_s`, as EarlyTurns of this one queue would.

    Nobody else waits for the workers, which are free from `free_s` on (a heap), and a batch takes `seconds`
    by its size. Returns the seconds of work, with the `worked_s` before.
    """
    times, most, head, there = queue.times_s, queue.resident.batch, queue.head, len(queue.times_s)
    counts, ends_s = queue.counts, queue.ends_s
    while head < there:
        closed_s = max(free_s[0], times[head])
        if delay_s:
            full_s = times[head + most - 1] if head + most <= there else float("inf")
            closed_s = max(closed_s, min(closed_s + delay_s, full_s))
        if closed_s >= until_s:
            break
        count = bisect_right(times, closed_s, head + 1, min(head + most, there)) - head
        lasts_s = seconds[count]
        heapreplace(free_s, closed_s + lasts_s)
        counts.append(count)
        ends_s.append(closed_s + lasts_s)
        worked_s += lasts_s
        head += count
    queue.head = head
    return worked_s


class Turns(Protocol):
    """Whose batch is next on a part."""

    def begins_s(self) -> float | None:
        """When it begins; None when there is none any more."""
        ...

    def take(self) -> tuple[int, int]:
        """Whose it is (by place), and how many are in it."""
        ...

    def done(self, place: int, count: int, end_s: float) -> None:
        """It ends then."""
        ...


class EarlyTurns:
    """Every worker collects its batch, and then waits: first complete, first served."""

    def __init__(self, queues: list[Queue], workers: int, from_s: float, delay_s: float) -> None:
        self.queues, self.delay_s = queues, delay_s
        self.free_s = [from_s] * workers
        self.complete: list[tuple[float, int, int]] = []
        for place in range(len(queues)):
            self._collect(place)

    def begins_s(self) -> float | None:
        return max(self.complete[0][0], self.free_s[0]) if self.complete else None

    def take(self) -> tuple[int, int]:
        _, place, count = heappop(self.complete)
        return place, count

    def done(self, place: int, count: int, end_s: float) -> None:
        self.queues[place].ended(count, end_s)
        heapreplace(self.free_s, end_s)
        self._collect(place)

    def _collect(self, place: int) -> None:
        # The part's only worker of this resident has just become free, or of several the first.
        if (batch := self.queues[place].collect(self.free_s[0], self.delay_s)) is not None:
            heappush(self.complete, (batch[0], place, batch[1]))


class LateTurns:
    """One after the other in a circle; whoever waits when the turn comes is in the batch."""

    def __init__(self, queues: list[Queue], from_s: float) -> None:
        self.queues, self.free_s, self.turn = queues, from_s, 0

    def begins_s(self) -> float | None:
        first = min((q.times_s[q.head] for q in self.queues if q.head < len(q.times_s)), default=None)
        return None if first is None else max(first, self.free_s)

    def take(self) -> tuple[int, int]:
        now_s = self.begins_s()
        assert now_s is not None
        while True:
            place = self.turn
            self.turn = (self.turn + 1) % len(self.queues)
            batch = self.queues[place].collect(now_s, 0.0)
            if batch is not None and batch[0] <= now_s:
                return place, batch[1]

    def done(self, place: int, count: int, end_s: float) -> None:
        self.queues[place].ended(count, end_s)
        self.free_s = end_s
