"""Greedy best fit: each model gets the smallest part that serves its rate, nobody takes turns.

A model that a whole GPU can't serve has whole ones first, or the smallest parts that are nearly as good,
whichever places on fewer GPUs. What is placed keeps every rule: the gpu-let prototype's version looks at
neither bounds nor occupancy.
"""

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.draft import Draft, missing
from experiments.placement.strategies.pieces import WORTHWHILE, by_rate_and_bound, pieces


def place(problem: Problem, gpus: int) -> Placement:
    """A placement on at most so many GPUs. Raises UnplaceableError where that finds none."""
    whole = problem.rules.card.sizes[-1]
    try:
        return _place(problem, gpus, dict.fromkeys(range(len(problem.workloads)), whole))
    except UnplaceableError:
        nearly = {workload: _nearly_as_good(problem, workload) for workload in range(len(problem.workloads))}
        return _place(problem, gpus, nearly)


def _place(problem: Problem, gpus: int, largest: dict[int, int]) -> Placement:
    draft = Draft(problem, gpus)
    for workload in by_rate_and_bound(problem):
        for piece in pieces(problem, workload, largest[workload]):
            if not draft.best_fit(workload, piece.size, piece.rate_rps):
                raise missing(problem, workload, piece.rate_rps, gpus)
    return draft.placement()


def _nearly_as_good(problem: Problem, workload: int) -> int:
    """The smallest size beyond which a share brings less than the prototype takes for worthwhile."""
    sizes = problem.rules.card.sizes
    most_rps = problem.alone_rps(workload, sizes[-1])
    return next(size for size in sizes if problem.alone_rps(workload, size) * WORTHWHILE >= most_rps)
