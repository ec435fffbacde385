"""The parts of one GPU at work, batch after batch, in the order in which they begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

import numpy as np

from experiments.placement.interference import NOT_FELT, factor
from experiments.placement.placed import Part
from experiments.placement.problem import Problem
from experiments.placement.simulation.arrivals import Times
from experiments.placement.simulation.queues import EarlyTurns, LateTurns, Queue, Turns, play_alone


@dataclass(frozen=True, slots=True)
class _Batches:
    """What a resident's batches are like, by their size from index 1 on: seconds alone, seconds more for
    every 1 that the factor of interference exceeds 1, base and slope of that factor, pressure on others."""

    alone_s: list[float]
    more_s: list[float]
    felt: list[tuple[float, float]]
    caused: list[float]


def play(
    problem: Problem,
    parts: Sequence[Part],
    queues: Sequence[list[Queue]],
    from_s: float,
    until_s: float,
    delay_s: float,
) -> float:
    """Serves the queues, one list for each part; batches that would begin at `until_s` or later are left.

    Returns the seconds of work, each weighted by its part's share of the GPU.
    """
    if len(parts) > 1 and problem.rules.interference is NOT_FELT:  # each as if the others weren't there
        one_by_one = zip(parts, queues, strict=True)
        return sum(play(problem, [part], [queue], from_s, until_s, delay_s) for part, queue in one_by_one)
    about = [[_batches(problem, part, place) for place in range(len(part.residents))] for part in parts]
    weights = [part.size / problem.rules.card.sizes[-1] / part.processes for part in parts]
    if len(parts) == 1 and len(queues[0]) == 1 and not problem.rules.late_binding:
        free_s, seconds = [from_s] * parts[0].processes, about[0][0].alone_s
        return weights[0] * play_alone(queues[0][0], free_s, seconds, until_s, delay_s)
    turns = [_turns(problem, part, queue, from_s, delay_s) for part, queue in zip(parts, queues, strict=True)]
    at_work: list[list[tuple[float, float]]] = [[] for _ in parts]
    order = [(begins, number) for number, turn in enumerate(turns) if (begins := turn.begins_s()) is not None]
    heapify(order)
    worked_s = 0.0
    while order and order[0][0] < until_s:
        begins_s, number = order[0]
        place, count = turns[number].take()
        batches = about[number][place]
        lasts_s = batches.alone_s[count]
        if len(parts) > 1:
            if pressure := _pressure(number, at_work, begins_s):
                lasts_s += (factor(batches.felt[count], pressure) - 1) * batches.more_s[count]
            at_work[number].append((begins_s + lasts_s, batches.caused[count]))
        turns[number].done(place, count, begins_s + lasts_s)
        worked_s += lasts_s * weights[number]
        following = turns[number].begins_s()
        if following is None:
            heappop(order)
        else:
            heapreplace(order, (following, number))
    return worked_s


def _turns(problem: Problem, part: Part, queues: list[Queue], from_s: float, delay_s: float) -> Turns:
    if problem.rules.late_binding:
        return LateTurns(queues, from_s)
    return EarlyTurns(queues, part.processes, from_s, delay_s)


def _pressure(number: int, at_work: Sequence[list[tuple[float, float]]], now_s: float) -> float:
    """What the neighbours that are at work put on a part."""
    together = 0.0
    for other, batches in enumerate(at_work):
        if other != number and batches:
            batches[:] = [batch for batch in batches if batch[0] > now_s]
            together += max((caused for _, caused in batches), default=0.0)
    return together


def _batches(problem: Problem, part: Part, place: int) -> _Batches:
    resident = part.residents[place]
    model, felt = problem.workloads[resident.workload].model, problem.rules.interference
    alone = problem.latency_ms(resident.workload, part.size, part.processes)
    twice = problem.latency_ms(resident.workload, part.size, part.processes, 2.0)
    sizes = range(resident.batch + 1)
    return _Batches(
        _seconds(alone),
        _seconds(twice - np.where(np.isfinite(alone), alone, 0)),
        [felt.felt(model, part.size, max(1, size)) for size in sizes],
        [felt.caused(model, part.size, max(1, size)) for size in sizes],
    )


def _seconds(curve_ms: Times) -> list[float]:
    """By batch size; smaller batches than were measured take as long as the smallest that was."""
    known = np.flatnonzero(np.isfinite(curve_ms))
    filled = curve_ms / 1000
    filled[: known[0]] = filled[known[0]]
    return [float(value) for value in filled]
