"""What has to be made when one placement follows another, GPU by GPU, and who serves while it is made.

Placements have a place for each GPU that there is; `()` is a GPU that isn't in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from scipy.optimize import linear_sum_assignment

from experiments.placement.card import Slices
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem

Parts = tuple[Part, ...]

MADE, CHANGED, FRESH = 10_000.0, 10.0, 1.0
"""What counts when GPUs are matched, in this order: parts that are made, other batches, another GPU."""


@dataclass(frozen=True, slots=True)
class Step:
    """From one placement to the next.

    `moves`: parts that are made: there was none of the size (and copies) on that GPU with all its models.
    Where models only leave a part it isn't made anew. `changed`: parts that stay, with another batch size of
    a model, which is no move; under TorchServe that model is registered anew.
    """

    moves: int
    changed: int


def used(placement: Placement) -> int:
    """GPUs in use."""
    return sum(bool(parts) for parts in placement.gpus)


def step(old: Placement, new: Placement) -> Step:
    """What it takes to get from one placement to the other."""
    steps = [_step(before, after) for before, after in zip_longest(old.gpus, new.gpus, fillvalue=())]
    return Step(sum(each.moves for each in steps), sum(each.changed for each in steps))


def kept(old: Sequence[Part], new: Sequence[Part]) -> list[int | None]:
    """For each new part of a GPU the old one that it was, by its place; None where it has to be made. As many
    as can be are kept, and of these as few as can be are changed."""
    if not old or not new:
        return [None] * len(new)
    costs = np.array([[_cost(before, after) for before in old] for after in new])
    found: list[int | None] = [None] * len(new)
    for row, column in zip(*(each.tolist() for each in linear_sum_assignment(costs)), strict=True):
        if costs[row, column] < MADE:
            found[row] = column
    return found


def matched(old: Placement, new: Placement, gpus: int) -> Placement:
    """The new placement's GPUs, each put where it takes the fewest moves, on `gpus` places at most."""
    wanted = [parts for parts in new.gpus if parts]
    before = [*old.gpus, *[()] * (gpus - len(old.gpus))]
    free = [place for place, parts in enumerate(before) if not parts]
    places = sorted([place for place, parts in enumerate(before) if parts] + free[: len(wanted)])
    costs = np.zeros((len(wanted), len(places)))
    for row, after in enumerate(wanted):
        for column, place in enumerate(places):
            taken = _step(before[place], after)
            costs[row, column] = MADE * taken.moves + CHANGED * taken.changed + FRESH * (not before[place])
    placed: list[Parts] = [()] * len(before)
    for row, column in zip(*(found.tolist() for found in linear_sum_assignment(costs)), strict=True):
        placed[places[column]] = wanted[row]
    return trimmed(placed)


def meanwhile(problem: Problem, old: Placement, new: Placement) -> Placement:
    """What serves while the new placement's parts are made: the old parts, those that leave included where
    there is room for them beside what is made. Those that stay keep their batches until then, as the new ones
    count on what is made.

    Under MPS a share is a limit and nothing that is set aside, so room is memory, where the rules tell it. A
    MIG instance can't be made before the slices are free.
    """
    serving = []
    for before, after in zip_longest(old.gpus, new.gpus, fillvalue=()):
        become = kept(before, after)
        staying = [before[place] for place in become if place is not None]
        there = [*staying, *(part for part, place in zip(after, become, strict=True) if place is None)]
        leaving: list[Part] = []
        for place, part in enumerate(before):
            if place not in become and _room(problem, [*there, *leaving, part]):
                leaving.append(part)
        serving.append((*staying, *leaving))
    return trimmed(serving)


def trimmed(gpus: Sequence[Parts]) -> Placement:
    """A placement without the unused GPUs at its end."""
    last = max((number for number, parts in enumerate(gpus) if parts), default=-1)
    return Placement(tuple(gpus[: last + 1]))


def _room(problem: Problem, parts: Sequence[Part]) -> bool:
    rules = problem.rules
    if isinstance(rules.card, Slices) and not rules.card.holds([part.size for part in parts]):
        return False
    memory = rules.memory
    return memory is None or sum(memory.of(part, problem.workloads) for part in parts) <= memory.gpu_bytes


def _step(old: Sequence[Part], new: Sequence[Part]) -> Step:
    become = kept(old, new)
    changed = sum(
        _changed(old[place], part) for place, part in zip(become, new, strict=True) if place is not None
    )
    return Step(become.count(None), changed)


def _cost(old: Part, new: Part) -> float:
    models = {resident.workload for resident in old.residents}
    stays = (
        old.size == new.size
        and old.processes == new.processes
        and {resident.workload for resident in new.residents} <= models
    )
    return CHANGED * _changed(old, new) + len(models) - len(new.residents) if stays else MADE


def _changed(old: Part, new: Part) -> bool:
    return not {(r.workload, r.batch) for r in new.residents} <= {
        (r.workload, r.batch) for r in old.residents
    }
