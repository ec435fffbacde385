"""Plays arrivals through placements, batch by batch.

A worker takes the first request there is, waits up to the batch delay for its batch to fill, then for its
part's turn, then works; TorchServe does so, with one worker collecting at a time. A batch that begins beside
others at work takes longer by their interference at that moment, for all of its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.simulation.arrivals import Times
from experiments.placement.simulation.gpu import play
from experiments.placement.simulation.queues import Queue


@dataclass(frozen=True, slots=True)
class Phase:
    """A placement that serves from `from_s` on, until the next one does."""

    from_s: float
    placement: Placement


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it: for each workload when its requests came and when they were answered, in seconds
    (infinite: never, as nobody was there to serve it), and for each GPU the part of the time that it worked,
    a part of it counting by its size."""

    arrived_s: tuple[Times, ...]
    answered_s: tuple[Times, ...]
    utilisation: tuple[float, ...]


def simulate(
    problem: Problem, phases: Sequence[Phase], arrivals: Sequence[Times], batch_delay_ms: float = 0.0
) -> Played:
    """Plays the arrivals of each workload, in the demand's order, through the placements.

    A placement's parts share a workload's requests in proportion to what they can serve, evenly spread. What
    has not begun when the next placement takes over goes on there.
    """
    answered = [np.full(len(times), np.inf) for times in arrivals]
    worked_s: dict[int, float] = {}
    for phase, until_s in zip(phases, [*(later.from_s for later in phases[1:]), np.inf], strict=True):
        left = [
            np.flatnonzero(np.isinf(ends) & (times < until_s))
            for ends, times in zip(answered, arrivals, strict=True)
        ]
        dealt = _dealt(phase.placement, arrivals, left)
        for gpu, (parts, queues) in enumerate(zip(phase.placement.gpus, dealt, strict=True)):
            worked = play(problem, parts, queues, phase.from_s, until_s, batch_delay_ms / 1000)
            worked_s[gpu] = worked_s.get(gpu, 0.0) + worked
            for queue in (queue for of_part in queues for queue in of_part):
                answered[queue.resident.workload][queue.which[: queue.head]] = queue.answered_s()
    lasted_s = (
        max((float(ends[np.isfinite(ends)].max(initial=0)) for ends in answered), default=0)
        - phases[0].from_s
    )
    return Played(
        tuple(arrivals),
        tuple(answered),
        tuple(worked_s[gpu] / lasted_s if lasted_s > 0 else 0.0 for gpu in sorted(worked_s)),
    )


def simulate_seats(
    problem: Problem, placement: Placement, arrivals: Sequence[Times], batch_delay_ms: float = 0.0
) -> list[Times]:
    """Plays arrivals that are dealt already: one array for each resident, in the placement's order. When each
    request was answered, in seconds."""
    coming = iter(arrivals)
    queues = [
        [
            [Queue(r, np.arange(0), [float(at_s) for at_s in next(coming)]) for r in part.residents]
            for part in parts
        ]
        for parts in placement.gpus
    ]
    for parts, of_gpu in zip(placement.gpus, queues, strict=True):
        play(problem, parts, of_gpu, 0.0, np.inf, batch_delay_ms / 1000)
    return [queue.answered_s() for of_gpu in queues for of_part in of_gpu for queue in of_part]


def _dealt(
    placement: Placement, arrivals: Sequence[Times], left: Sequence[npt.NDArray[np.int64]]
) -> list[list[list[Queue]]]:
    """The requests still to be served, dealt to the residents of each part of each GPU."""
    nobody = np.zeros(0, dtype=np.int64)
    dealt = [
        [[Queue(resident, nobody, []) for resident in part.residents] for part in parts]
        for parts in placement.gpus
    ]
    for workload, coming in enumerate(left):
        mine = [
            (queue, part.capacity_rps(queue.resident))
            for parts, of_gpu in zip(placement.gpus, dealt, strict=True)
            for part, queues in zip(parts, of_gpu, strict=True)
            for queue in queues
            if queue.resident.workload == workload
        ]
        if mine:
            who = _spread([capacity for _, capacity in mine], len(coming))
            for number, (queue, _) in enumerate(mine):
                queue.which = coming[who == number]
                queue.times_s = arrivals[workload][queue.which].tolist()
    return dealt


def _spread(capacities: Sequence[float], count: int) -> npt.NDArray[np.int64]:
    """Who takes the first, the second, ... of so many requests: in proportion, each evenly spread."""
    weights = np.array(capacities) / sum(capacities)
    turns = [int(weight * count) + 2 for weight in weights]
    due = np.concatenate(
        [(np.arange(turn) + 0.5) / weight for turn, weight in zip(turns, weights, strict=True)]
    )
    who = np.repeat(np.arange(len(weights)), turns)
    return who[np.argsort(due, kind="stable")][:count]
