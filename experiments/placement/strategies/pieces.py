"""What a model's rate is cut into before it is placed: parts that it saturates, and one for the rest."""

from dataclasses import dataclass
from itertools import pairwise

from experiments.placement.problem import Problem
from experiments.placement.strategies.turns import Wanted, batches

WORTHWHILE = 1.05
"""What a larger share must bring at least to be the prototype's knee."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of at least `size`, for `rate_rps` of a workload's requests."""

    workload: int
    size: int
    rate_rps: float


def by_rate_and_bound(problem: Problem) -> list[int]:
    """Workloads by rate times bound, ascending: tight ones get near-ideal parts first."""
    return sorted(
        range(len(problem.workloads)),
        key=lambda index: problem.workloads[index].rate_rps * problem.workloads[index].slo_ms,
    )


def pieces(problem: Problem, workload: int, efficient: int, filled: float = 1.0) -> list[Piece]:
    """Parts of the efficient size as long as the rest doesn't fit one, then the smallest for the rest. They
    serve the fraction `filled` of what they could alone."""
    left_rps = problem.workloads[workload].rate_rps
    most_rps = problem.alone_rps(workload, efficient)
    if not most_rps:  # no batch keeps the bound there: the smallest size where one does
        sizes = problem.rules.card.sizes
        efficient = next((size for size in sizes if problem.alone_rps(workload, size)), sizes[-1])
        most_rps = problem.alone_rps(workload, efficient)
    most_rps *= filled
    found = []
    while left_rps > most_rps * (1 + 1e-9):
        found.append(Piece(workload, efficient, most_rps * (1 - 1e-9)))
        left_rps -= most_rps * (1 - 1e-9)
    smallest = next(
        (
            size
            for size in problem.rules.card.sizes
            if size <= efficient and batches(problem, Wanted(size, {workload: left_rps / filled}))
        ),
        efficient,
    )
    return [*found, Piece(workload, smallest, left_rps * (1 - 1e-12))]


def knee(problem: Problem, workload: int) -> int:
    """The size above which a share brings less: where throughput lies furthest above the straight line from
    the smallest to the whole."""
    sizes = problem.rules.card.sizes
    rates = [problem.alone_rps(workload, size) for size in sizes]
    slope = (rates[-1] - rates[0]) / max(1, sizes[-1] - sizes[0])
    above = [rate - rates[0] - slope * (size - sizes[0]) for size, rate in zip(sizes, rates, strict=True)]
    return sizes[max(range(len(sizes)), key=lambda number: (round(above[number], 9), -number))]


def steepest(problem: Problem, workload: int) -> int:
    """The prototype's knee: of the steps that gain more than 5 %, the end of the one with most gain a
    percentage point, the step to the whole left out; the smallest size where there is none."""
    sizes = problem.rules.card.sizes
    best, chosen = 0.0, sizes[0]
    for low, high in pairwise(sizes[:-1]):
        before, after = problem.alone_rps(workload, low), problem.alone_rps(workload, high)
        gain = (after - before) / (high - low)
        if after > before * WORTHWHILE and gain > best:
            best, chosen = gain, high
    return chosen
