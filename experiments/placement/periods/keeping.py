"""The fewest moves to a placement on a given number of GPUs: an integer program over what stands.

Its columns are those of the search (strategies/columns.py). A part that stands may stay, with any batches and
cycle, for all its models or some; GPUs that stand are cut anew where that costs fewer moves; the rest is
made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from experiments.placement.checker import violations
from experiments.placement.periods.moves import Parts, trimmed
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.columns import LOOKED_AT
from experiments.placement.strategies.master import Effort, Master
from experiments.placement.strategies.search import GROUP, GROUP_ALONE, master_of

NODES, SECONDS = 500, 10.0
"""Where the program ends: by its nodes, so that the same is found again; by the time at worst."""
MOVE, STAYS, LEFT = 100.0, 3.0, 1.0
"""What a part that is made costs; what one that stays is worth even if it isn't needed, as it may be later;
and what of that each model that leaves it costs."""


@dataclass(slots=True)
class _Program:
    """An integer program being written down: costs and upper bounds of its variables, and rows `<= limit`."""

    costs: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)

    def variable(self, cost: float = 0.0, most: float = np.inf) -> int:
        self.costs.append(cost)
        self.most.append(most)
        return len(self.costs) - 1

    def row(self, limit: float) -> int:
        self.limits.append(limit)
        return len(self.limits) - 1

    def put(self, row: int, variable: int, value: float) -> None:
        self.entries.append((row, variable, value))

    def solved(self) -> list[int] | None:
        """Its best whole numbers, None where none were found."""
        rows, variables, values = zip(*self.entries, strict=True)
        matrix = csr_array((values, (rows, variables)), shape=(len(self.limits), len(self.costs)))
        found = milp(
            np.array(self.costs),
            constraints=[LinearConstraint(matrix, -np.inf, np.array(self.limits))],
            integrality=np.ones(len(self.costs), dtype=np.int64),
            bounds=Bounds(0, np.array(self.most)),
            options={"node_limit": NODES, "mip_rel_gap": 1e-4, "time_limit": SECONDS},
        )
        return None if found.x is None else np.round(found.x).astype(int).tolist()


def fewest_moves(problem: Problem, old: Placement, found: Placement, places: int) -> Placement | None:
    """The placement on no more GPUs than `found` has, with the fewest parts made anew on the GPUs of `old`,
    of `places` that there are; None where none is found that passes the checker.

    `old` may be short of what is asked or hold more; `found` is any placement of the problem, as by the
    search.
    """
    try:
        master = _columns(problem, found)
    except UnplaceableError:
        return None
    placement = _Fewest(master, old, len(found.gpus)).solved(places)
    return None if placement is None or violations(placement, problem, places) else placement


def _columns(problem: Problem, found: Placement) -> Master:
    """The columns that the relaxation takes, and those of a placement."""
    count = len(problem.workloads)
    together = LOOKED_AT if count <= GROUP else 2 if count <= GROUP_ALONE else 1
    master = master_of(problem, range(count), Effort(together=together))
    master.relax()
    wanted = {_key(part) for _, part in found.parts()}
    for pool, chosen in zip(master.pools, master.chosen, strict=True):
        there = set(chosen)
        chosen += [row for row in range(len(pool)) if row not in there and _key(pool.part(row)) in wanted]
    return master


def _key(part: Part) -> tuple[object, ...]:
    return part.size, part.processes, part.residents


class _Fewest:
    """The program: which columns are made, which stand, and how GPUs are cut."""

    def __init__(self, master: Master, old: Placement, gpus: int) -> None:
        self.master, self.program = master, _Program()
        self.rates = [self.program.row(-rate) for rate in master.asked.tolist()]
        self.in_all = self.program.row(gpus)
        made = [self.program.row(0) for _ in master.kinds]  # what is made of a kind needs a place on some GPU
        self.made = [
            [(row, self._column(number, row, made[number], MOVE)) for row in rows]
            for number, rows in enumerate(master.chosen)
        ]
        self.fresh = self._cut(made, np.inf)
        self.standing = {place: self._gpu(parts, made) for place, parts in enumerate(old.gpus) if parts}

    def solved(self, places: int) -> Placement | None:
        """The placement that the program finds, on so many places for GPUs."""
        values = self.program.solved()
        if values is None:
            return None
        made = [
            [
                self.master.pools[number].part(row)
                for row, variable in columns
                for _ in range(values[variable])
            ]
            for number, columns in enumerate(self.made)
        ]
        gpus: list[Parts] = [()] * places
        for place, (stays, taken) in self.standing.items():
            staying = [self.master.pools[kind].part(row) for kind, row, x in stays if values[x]]
            new = [made[kind].pop() for kind, w in enumerate(taken) for _ in range(values[w]) if made[kind]]
            gpus[place] = (*staying, *new)
        free = (place for place in [*self.standing, *range(places)] if not gpus[place])
        for layout, variable in zip(self.master.layouts, self.fresh, strict=True):
            for _ in range(values[variable]):
                numbers = [self.master.kinds.index(kind) for kind in layout]
                if parts := tuple(made[number].pop() for number in numbers if made[number]):
                    gpus[next(free)] = parts
        return trimmed(gpus)

    def _column(self, kind: int, row: int, room: int, cost: float, most: float = np.inf) -> int:
        """A part of a kind, which takes of the `room` for them and serves its workloads."""
        variable = self.program.variable(cost, most)
        self.program.put(room, variable, 1)
        pool = self.master.pools[kind]
        for place in np.flatnonzero(pool.workloads[row] >= 0):
            rates = self.rates[self.master.rows_of[kind][row, place]]
            self.program.put(rates, variable, -float(pool.rates_rps[row, place]))
        return variable

    def _cut(self, rooms: Sequence[int], most: float) -> list[int]:
        """How often a GPU is cut in each way, which makes room for parts of its kinds."""
        variables = [self.program.variable(most=most) for _ in self.master.layouts]
        for layout, variable in enumerate(variables):
            self.program.put(self.in_all, variable, 1)
            for kind in np.flatnonzero(self.master.offers[:, layout]):
                self.program.put(rooms[int(kind)], variable, -float(self.master.offers[kind, layout]))
        return variables

    def _gpu(self, parts: Parts, made: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[int]]:
        """A GPU that stands: what may stay (kind, row of its pool, variable), and by kind the variable of how
        many parts are made on it."""
        rooms = [self.program.row(0) for _ in self.master.kinds]
        once = self.program.row(1)
        for variable in self._cut(rooms, 1):
            self.program.put(once, variable, 1)
        taken = [self.program.variable() for _ in self.master.kinds]
        for kind, variable in enumerate(taken):
            self.program.put(rooms[kind], variable, 1)
            self.program.put(made[kind], variable, -1)
        stays = []
        for part in parts:
            once = self.program.row(1)
            for kind, row, gone in self._may_become(part):
                variable = self._column(kind, row, rooms[kind], LEFT * gone - STAYS, 1)
                self.program.put(once, variable, 1)
                stays.append((kind, row, variable))
        return stays, taken

    def _may_become(self, part: Part) -> Iterator[tuple[int, int, int]]:
        """The kinds and rows that a part can be without being made anew, and how many models leave it."""
        residents = [resident.workload for resident in part.residents]
        for number, pool in enumerate(self.master.pools):
            if pool.kind.size != part.size:
                continue
            stays = (pool.processes == part.processes) & np.isin(pool.workloads, [-1, *residents]).all(axis=1)
            for row in np.flatnonzero(stays):
                yield number, int(row), len(residents) - int((pool.workloads[row] >= 0).sum())
