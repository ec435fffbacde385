"""Greedy best fit: each model gets the smallest part that serves its rate, nobody takes turns.

A model that a whole GPU can't serve has whole ones first. What is placed keeps every rule: the gpu-let
prototype's version looks at neither bounds nor occupancy.
"""

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.strategies.draft import Draft, missing
from experiments.placement.strategies.pieces import by_rate_and_bound, pieces


def place(problem: Problem, gpus: int) -> Placement:
    """A placement on at most so many GPUs. Raises UnplaceableError where that finds none."""
    draft = Draft(problem, gpus)
    whole = problem.rules.card.sizes[-1]
    for workload in by_rate_and_bound(problem):
        for piece in pieces(problem, workload, whole):
            if not draft.best_fit(workload, piece.size, piece.rate_rps):
                raise missing(problem, workload, piece.rate_rps, gpus)
    return draft.placement()
