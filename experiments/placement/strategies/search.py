"""Ours: the fewest GPUs that column generation finds, and how few it could be at best.

The columns are parts (columns.py), the problem of choosing is in master.py. Its linear relaxation over all
columns is a lower bound, as no placement is outside of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.bound import fluid_bound
from experiments.placement.strategies.columns import TRIPLES_FROM, columns, kinds_by_layout
from experiments.placement.strategies.master import Gpus, Master

GROUP = 10
"""Workloads that are placed together. More of them are cut into groups, neighbours by bound."""
GROUP_ALONE = 40
"""The same where nobody takes turns: then there are few columns."""
LEVELS = 3
"""Marks of pressure between two parts (see columns.py)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A placement, and the number of GPUs below which there is none by these rules."""

    placement: Placement
    at_least: int


def fewest(problem: Problem, most: int | None = None) -> Found:
    """A placement on few GPUs. Raises UnplaceableError where that takes more than `most`."""
    by_bound = sorted(range(len(problem.workloads)), key=lambda index: problem.workloads[index].slo_ms)
    group = GROUP if problem.rules.models_per_part > 1 else GROUP_ALONE
    groups = np.array_split(by_bound, math.ceil(len(by_bound) / group))
    placed = [_group(problem, [int(index) for index in group]) for group in groups]
    gpus = [gpu for found, _ in placed for gpu in found]
    at_least = placed[0][1] if len(placed) == 1 else fluid_bound(problem)
    if most is not None and len(gpus) > most:
        never = f", and fewer than {at_least} never can" if at_least > most else ""
        raise UnplaceableError(
            f"{len(gpus)} GPUs would do{never}, {most} are there: add GPUs, or ask for less"
        )
    return Found(Placement(tuple(gpus)), at_least)


def _group(problem: Problem, members: Sequence[int]) -> tuple[Gpus, int]:
    """The GPUs for these workloads, and how few there could be."""
    layouts = kinds_by_layout(problem, members, LEVELS)
    kinds = list(dict.fromkeys(kind for layout in layouts for kind in layout))
    master = Master(problem, members, layouts, [columns(problem, kind, members) for kind in kinds])
    prices = master.relax()
    placed, bound = master.solve(), _up(prices.gpus)
    if len(placed) > bound and (better := master.improve(prices, len(placed) - 1)) is not None:
        placed = better
    rules = problem.rules
    if any(kind.felt for kind in kinds) or rules.models_per_part > 3:
        bound = fluid_bound(problem, members)  # marks of pressure are rounded up, and four weren't looked at
    elif rules.models_per_part == 3 and len(members) >= TRIPLES_FROM and len(placed) > 1:
        pools = [columns(problem, kind, members, optimistic=True) for kind in kinds]
        bound = _up(Master(problem, members, layouts, pools).relax().gpus)
    return placed, bound


def _up(gpus: float) -> int:
    return max(1, math.ceil(gpus - 1e-6))
