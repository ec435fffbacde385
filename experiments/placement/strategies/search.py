"""Ours: the fewest GPUs that column generation finds, and how few it could be at best.

The columns are parts (columns.py), the problem of choosing is in master.py. Its linear relaxation over all
columns is a lower bound, as no placement is outside of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.placement.interference import NOT_FELT
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies import elastic, equal, greedy, squishy
from experiments.placement.strategies.bound import fluid_bound
from experiments.placement.strategies.columns import LOOKED_AT, columns, kinds_by_layout
from experiments.placement.strategies.master import Effort, Gpus, Master

GROUP = 10
"""Workloads that are placed together. More of them are cut into groups, neighbours by bound."""
GROUP_ALONE = 40
"""The same where nobody takes turns: then there are few columns."""
LEVELS = 3
"""Marks of pressure between two parts (see columns.py)."""
FEW = 4
"""Up to so many workloads a bound that isn't met is looked for again with finer marks."""
FINER = 6
IN_GROUPS = Effort(nodes=50, gap=0.01, again=False, together=2)
"""The effort for each of several groups."""


ASK_OTHERS = 100
"""Up to so many workloads the other strategies are asked, too, where the bound isn't met."""


@dataclass(frozen=True, slots=True)
class Found:
    """A placement, and the number of GPUs below which there is none by these rules."""

    placement: Placement
    at_least: int


def fewest(problem: Problem, most: int | None = None, prove: bool = True) -> Found:
    """A placement on few GPUs. `prove`: the lower bound is searched for, too, else it is the fluid one.

    Raises UnplaceableError where that takes more than `most`.
    """
    by_bound = sorted(range(len(problem.workloads)), key=lambda index: problem.workloads[index].slo_ms)
    together = GROUP if problem.rules.models_per_part > 1 else GROUP_ALONE
    groups = np.array_split(by_bound, math.ceil(len(by_bound) / together))
    alone = len(groups) == 1
    effort = Effort() if alone else IN_GROUPS
    gpus: Gpus = []
    at_least = fluid_bound(problem)
    for group in groups:
        placed = _group(problem, [int(index) for index in group], effort)
        gpus += placed
        if alone and prove:
            at_least = _bound(problem, effort, len(placed))
    if len(gpus) > at_least and len(problem.workloads) <= ASK_OTHERS:
        gpus = _by_others(problem, gpus)
    if most is not None and len(gpus) > most:
        never = f", and fewer than {at_least} never can" if at_least > most else ""
        raise UnplaceableError(
            f"{len(gpus)} GPUs would do{never}, {most} are there: add GPUs, or ask for less"
        )
    return Found(Placement(tuple(gpus)), at_least)


def _by_others(problem: Problem, gpus: Gpus) -> Gpus:
    """On fewer GPUs where another strategy finds a way: what is placed in groups shares none across them."""
    for place in (elastic.place, greedy.place, equal.place, squishy.place):
        while len(gpus) > 1:
            try:
                gpus = list(place(problem, len(gpus) - 1).gpus)
            except UnplaceableError:
                break
    return gpus


def master_of(problem: Problem, members: Sequence[int], effort: Effort) -> Master:
    """The problem of choosing parts for these workloads, nothing solved yet."""
    layouts = kinds_by_layout(problem, members, LEVELS)
    kinds = list(dict.fromkeys(kind for layout in layouts for kind in layout))
    pools = [columns(problem, kind, members, together=effort.together) for kind in kinds]
    return Master(problem, members, layouts, pools, effort)


def _group(problem: Problem, members: Sequence[int], effort: Effort) -> Gpus:
    """The GPUs for these workloads."""
    master = master_of(problem, members, effort)
    prices = master.relax()
    placed = master.solve()
    while effort.again and len(placed) > _up(prices.gpus):
        better = master.improve(prices, len(placed) - 1)
        if better is None or len(better) >= len(placed):  # split again, for the sake of memory
            break
        placed = better
    return placed


def _bound(problem: Problem, effort: Effort, found: int) -> int:
    """How few GPUs there could be, where `found` are known to do."""
    members = range(len(problem.workloads))
    bound = fluid_bound(problem, members)
    if found <= bound or problem.rules.models_per_part > LOOKED_AT:
        return bound
    for levels in (LEVELS, FINER) if _felt(problem) and len(members) <= FEW else (LEVELS,):
        bound = max(bound, _relaxed(problem, members, levels, effort, found))
        if bound >= found:
            break
    return bound


def _relaxed(problem: Problem, members: Sequence[int], levels: int, effort: Effort, found: int) -> int:
    """How few GPUs there could be by the relaxation, and by proofs that it can't be done with that few."""
    layouts = kinds_by_layout(problem, members, levels, optimistic=True)
    kinds = list(dict.fromkeys(kind for layout in layouts for kind in layout))
    pools = [columns(problem, kind, members, optimistic=True) for kind in kinds]
    master = Master(problem, members, layouts, pools, effort)
    prices = master.relax()
    bound = _up(prices.gpus)
    while bound < found and master.impossible(prices, bound):
        bound += 1
    return bound


def _felt(problem: Problem) -> bool:
    return problem.rules.interference is not NOT_FELT


def _up(gpus: float) -> int:
    return max(1, math.ceil(gpus - 1e-6))
