"""Ways to find a placement, behind one interface. What is found is checked elsewhere (../checker.py)."""

from collections.abc import Callable

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies import elastic, equal, greedy, squishy
from experiments.placement.strategies.bound import fluid_bound
from experiments.placement.strategies.draft import checked
from experiments.placement.strategies.search import fewest

Strategy = Callable[[Problem, int], Placement]
"""Places on at most so many GPUs. Raises UnplaceableError where it finds no way."""


def _search(problem: Problem, gpus: int) -> Placement:
    return checked(problem, fewest(problem, gpus, prove=False).placement.gpus, gpus)


STRATEGIES: dict[str, Strategy] = {
    "time-sharing": squishy.place,
    "equal-shares": equal.place,
    "greedy": greedy.place,
    "gpulet": elastic.place,
    "search": _search,
}


def smallest(strategy: str, problem: Problem, most: int) -> Placement:
    """The placement of a strategy (a key of STRATEGIES) on the fewest GPUs, `most` at most.

    Raises UnplaceableError, with what was in the way on `most` GPUs, where none does.
    """
    least = fluid_bound(problem)
    if least > most:
        raise UnplaceableError(
            f"fewer than {least} GPUs never can, {most} are there: add GPUs, or ask for less"
        )
    if strategy == "search":
        return _search(problem, most)
    for gpus in range(least, most):
        try:
            return STRATEGIES[strategy](problem, gpus)
        except UnplaceableError:
            continue
    return STRATEGIES[strategy](problem, most)
