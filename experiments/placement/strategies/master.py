"""The problem of choosing parts: which of the columns, how often, on how few GPUs.

Rows are the workloads' rates and the kinds of parts that the GPUs' layouts offer; columns are added as long
as they are worth more than they cost (Gilmore and Gomory 1961, for cutting stock).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, linprog, milp
from scipy.sparse import csr_array, hstack, vstack

from experiments.placement.placed import Part
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.columns import LOOKED_AT, Columns, Kind, Matrix, Whole

ADDED = 100
"""Columns of a kind that are added at a time."""
SECONDS = 10.0
"""Where a search for whole numbers ends at worst; it ends by its effort before, so that the same is found
again."""
WORTH_PROVING = 4000
"""Columns up to which it is tried to do with a GPU less."""

INFEASIBLE = 2
"""SciPy's word for a problem that is proven to have no solution."""

Chosen = list[list[int]]
"""Rows of each kind's pool."""
Gpus = list[tuple[Part, ...]]


@dataclass(frozen=True, slots=True)
class Prices:
    """What the relaxation is worth in GPUs, a request/s of each workload, and a part of each kind."""

    gpus: float
    rates: Matrix
    parts: Matrix


@dataclass(frozen=True, slots=True)
class Effort:
    """How long whole numbers are searched for: nodes of the tree, how close to the relaxation is enough,
    whether it is tried again with a GPU less; and how many may take turns on the parts that are looked at."""

    nodes: int = 2000
    gap: float = 1e-6
    again: bool = True
    together: int = LOOKED_AT


class Master:
    """Workloads (`members`), ways to cut a GPU (`layouts`), and a pool of columns for each of `kinds`."""

    def __init__(
        self,
        problem: Problem,
        members: Sequence[int],
        layouts: Sequence[tuple[Kind, ...]],
        pools: Sequence[Columns],
        effort: Effort,
    ) -> None:
        self.problem, self.layouts, self.pools, self.effort = problem, layouts, pools, effort
        self.kinds = [pool.kind for pool in pools]
        self.asked = np.array([problem.workloads[index].rate_rps for index in members])
        row_of = np.zeros(max(members) + 2, dtype=np.int64)  # the last is that of -1, nobody
        row_of[list(members)] = np.arange(len(members))
        self.rows_of: list[Whole] = [row_of[pool.workloads] for pool in pools]
        self.offers = np.array([[layout.count(kind) for layout in layouts] for kind in self.kinds])
        # To begin with, what each workload can do alone.
        self.chosen: Chosen = [
            np.flatnonzero((pool.workloads >= 0).sum(axis=1) == 1).tolist() for pool in pools
        ]

    def relax(self) -> Prices:
        """Solves the relaxation over all columns: fewer GPUs than that there can't be."""
        while True:
            prices = self._prices()
            if not self._add(prices):
                return prices

    def solve(self) -> Gpus:
        """The best whole numbers of the columns chosen so far."""
        solved = self._whole(self.chosen, None)
        if solved.x is None:
            raise UnplaceableError("no placement was found in the time for it: ask for fewer models at once")
        return self._cut(self.chosen, solved.x)

    def improve(self, prices: Prices, gpus: int) -> Gpus | None:
        """A placement on that many GPUs, of all columns that can be in one; None where none is found."""
        near, _ = self._near(prices, gpus)
        solved = self._whole(near, gpus)
        return None if solved.x is None else self._cut(near, solved.x)

    def impossible(self, prices: Prices, gpus: int) -> bool:
        """Whether it is proven that no placement has that few GPUs."""
        near, all_of_them = self._near(prices, gpus)
        return all_of_them and self._whole(near, gpus).status == INFEASIBLE

    def _near(self, prices: Prices, gpus: int) -> tuple[Chosen, bool]:
        """The columns that can be in a placement on so many GPUs: what costs more than the gap to the
        relaxation can't. And whether these are all: of too many the best are taken."""
        near: Chosen = []
        for number in range(len(self.pools)):
            reduced = prices.parts[number] - self._worth(number, prices)
            rows = np.flatnonzero(reduced <= gpus - prices.gpus + 1e-9)
            near.append(rows[np.argsort(reduced[rows], kind="stable")].tolist())
        total = sum(map(len, near))
        if total <= WORTH_PROVING:
            return near, True
        return [rows[: max(10, len(rows) * WORTH_PROVING // total)] for rows in near], False

    def _prices(self) -> Prices:
        matrix, costs, limits = self._matrix(self.chosen)
        # Its stubs don't know of sparse matrices.
        solved = linprog(costs, A_ub=matrix, b_ub=limits, method="highs")  # type: ignore[call-overload]
        if solved.status != 0 or solved.fun is None:
            raise UnplaceableError(f"there is no placement: {solved.message}")
        marginals = -np.asarray(solved.ineqlin.marginals)
        return Prices(float(solved.fun), marginals[len(self.kinds) :], marginals[: len(self.kinds)])

    def _add(self, prices: Prices) -> bool:
        """Adds the columns worth most beyond their part's price. False where there is none."""
        added = False
        for number, chosen in enumerate(self.chosen):
            beyond = self._worth(number, prices) - prices.parts[number]
            beyond[chosen] = 0
            good = np.flatnonzero(beyond > 1e-9)
            new = good[np.argsort(-beyond[good], kind="stable")[:ADDED]].tolist()
            chosen += new
            added = added or bool(new)
        return added

    def _worth(self, number: int, prices: Prices) -> Matrix:
        return np.asarray((self.pools[number].rates_rps * prices.rates[self.rows_of[number]]).sum(axis=1))

    def _matrix(self, chosen: Chosen) -> tuple[csr_array, Matrix, Matrix]:
        """Rows: kinds (used - offered <= 0), then rates (-served <= -asked). Columns: parts, then layouts."""
        blocks = [self._block(number, np.array(rows, dtype=np.int64)) for number, rows in enumerate(chosen)]
        offers = vstack([csr_array(-self.offers), csr_array((len(self.asked), len(self.layouts)))])
        count = sum(map(len, chosen))
        costs = np.concatenate([np.zeros(count), np.ones(len(self.layouts))])
        limits = np.concatenate([np.zeros(len(self.kinds)), -self.asked])
        return hstack([*blocks, offers], format="csr"), costs, limits

    def _block(self, number: int, rows: Whole) -> csr_array:
        """The columns of one kind."""
        who, rates = self.rows_of[number][rows], self.pools[number].rates_rps[rows]
        place, position = np.nonzero(self.pools[number].workloads[rows] >= 0)
        data = np.concatenate([np.ones(len(rows)), -rates[place, position]])
        row = np.concatenate([np.full(len(rows), number), len(self.kinds) + who[place, position]])
        column = np.concatenate([np.arange(len(rows)), place])
        return csr_array((data, (row, column)), shape=(len(self.kinds) + len(self.asked), len(rows)))

    def _whole(self, chosen: Chosen, gpus: int | None) -> OptimizeResult:
        matrix, costs, limits = self._matrix(chosen)
        constraints = [LinearConstraint(matrix, -np.inf, limits)]
        if gpus is not None:
            constraints.append(LinearConstraint(costs[None, :], -np.inf, gpus))
        return milp(
            costs,
            constraints=constraints,
            integrality=np.ones(len(costs), dtype=np.int64),
            bounds=Bounds(0, np.inf),
            options={
                "node_limit": self.effort.nodes,
                "mip_rel_gap": self.effort.gap,
                "time_limit": SECONDS,
            },
        )

    def _cut(self, chosen: Chosen, found: Matrix) -> Gpus:
        """GPUs cut as the whole numbers say, with the parts on them."""
        parts: dict[Kind, list[Part]] = {kind: [] for kind in self.kinds}
        used = iter(np.round(found).astype(int).tolist())
        for pool, rows in zip(self.pools, chosen, strict=True):
            for row in rows:
                parts[pool.kind] += [pool.part(row)] * next(used)
        for made in parts.values():
            made.sort(key=self._memory_bytes)
        gpus = []
        for layout in self.layouts:
            for _ in range(next(used)):
                # The part that takes most memory beside the one that takes least.
                taken = tuple(
                    parts[kind].pop(0 if place else -1) for place, kind in enumerate(layout) if parts[kind]
                )
                gpus += self._fitting(taken) if taken else []
        assert not any(parts.values())
        return gpus

    def _memory_bytes(self, part: Part) -> int:
        memory = self.problem.rules.memory
        return 0 if memory is None else memory.of(part, self.problem.workloads)

    def _fitting(self, parts: tuple[Part, ...]) -> Gpus:
        """The parts on one GPU, or where its memory doesn't hold them on one each."""
        memory = self.problem.rules.memory
        if memory is None or sum(map(self._memory_bytes, parts)) <= memory.gpu_bytes:
            return [parts]
        return [(part,) for part in parts]
