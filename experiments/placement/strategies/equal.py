"""Equal static shares: every GPU is cut into the same number of equal parts, each has one model.

All numbers of parts are tried; parts are dealt to GPUs one model after the other.
"""

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.draft import Draft, missing


def place(problem: Problem, gpus: int) -> Placement:
    """A placement on at most so many GPUs, by the number of parts that needs fewest.

    Raises UnplaceableError where none does.
    """
    found: list[Placement] = []
    reasons: list[UnplaceableError] = []
    for size in _sizes(problem):
        try:
            found.append(_cut(problem, size, gpus))
        except UnplaceableError as reason:
            reasons.append(reason)
    if not found:
        raise reasons[-1]
    return min(found, key=lambda placement: len(placement.gpus))


def _sizes(problem: Problem) -> list[int]:
    """For each number of equal parts that a GPU holds, the largest size, ascending."""
    card = problem.rules.card
    largest: dict[int, int] = {}
    for size in card.sizes:
        count = 1
        while card.holds([size] * (count + 1)):
            count += 1
        largest[count] = size
    return sorted(largest.values())


def _cut(problem: Problem, size: int, gpus: int) -> Placement:
    card = problem.rules.card
    draft = Draft(problem, gpus)
    for workload, asked in enumerate(problem.workloads):
        left_rps, gpu = asked.rate_rps, 0
        while left_rps and gpu < gpus:
            if not card.holds([*(part.size for part in draft.wanted[gpu]), size]):
                gpu += 1
                continue
            before_rps = left_rps
            left_rps = draft.add(gpu, size, workload, left_rps)
            gpu += left_rps == before_rps
        if left_rps:
            raise missing(problem, workload, left_rps, gpus)
    return draft.placement()
