"""How few GPUs there can be, whoever shares parts with whom: rates as a fluid."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from experiments.placement.problem import Problem


def fluid_bound(problem: Problem, members: Sequence[int] | None = None) -> int:
    """No placement of these workloads (by default all) has fewer GPUs.

    On a part of a size no batch of a workload gets more through than the best that keeps the bound alone, and
    the parts' time can't be spent twice: a linear problem over time spent by workload and size. And only so
    many may take turns on a part.
    """
    members = range(len(problem.workloads)) if members is None else members
    card = problem.rules.card
    layouts = card.layouts()
    count = len(card.sizes)
    rates = np.array(
        [
            [max(problem.alone_rps(index, size, copies) for copies in card.processes) for size in card.sizes]
            for index in members
        ]
    )
    variables = rates.size + len(layouts)
    rows, limits = [], []
    for place, size in enumerate(card.sizes):
        row = np.zeros(variables)
        row[place : rates.size : count] = 1
        row[rates.size :] = [-layout.count(size) for layout in layouts]
        rows.append(row)
        limits.append(0.0)
    for number, index in enumerate(members):
        row = np.zeros(variables)
        row[number * count : (number + 1) * count] = -rates[number]
        rows.append(row)
        limits.append(-problem.workloads[index].rate_rps)
    costs = np.concatenate([np.zeros(rates.size), np.ones(len(layouts))])
    solved = linprog(costs, A_ub=np.array(rows), b_ub=limits, method="highs")
    seats = max(map(len, layouts)) * problem.rules.models_per_part
    return max(1, math.ceil(float(solved.fun or 0) - 1e-6), math.ceil(len(members) / seats))
