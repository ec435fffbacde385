"""Every part worth having: who may take turns on a part of each kind, with what batches, and what it serves.

A kind of part is its size, the pressure that it may put on its neighbours, and the pressure from them that it
was computed with; without interference that is its size alone.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from experiments.placement.interference import NOT_FELT, factors
from experiments.placement.placed import Part, Resident
from experiments.placement.problem import Problem, best_alone

Matrix = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

LOOKED_AT = 3
"""As many may take turns on a part that is looked at, whatever the rules allow."""
TRIPLE_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Three that take turns are looked at with these batches alone: with all there would be 32,768 ways."""
FEW_TRIPLES = 4
"""Without neighbours that are felt, up to so many groups of three are looked at with all batches."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of part. Pressures as in Interference; `felt` is what the neighbours put on it at most."""

    size: int
    puts: float = 0.0
    felt: float | None = None
    """None: nobody is beside it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Parts of one kind: row by row the workloads on it (-1 for none), their batches, what they serve in
    requests a second, not above what is asked, the cycle in ms, and the copies."""

    kind: Kind
    workloads: Whole
    batches: Whole
    rates_rps: Matrix
    cycle_ms: Matrix
    processes: Whole

    def __len__(self) -> int:
        return len(self.cycle_ms)

    def part(self, row: int) -> Part:
        """A row, as it goes into a placement."""
        residents = tuple(
            Resident(int(workload), int(batch))
            for workload, batch in zip(self.workloads[row], self.batches[row], strict=True)
            if workload >= 0
        )
        return Part(self.kind.size, float(self.cycle_ms[row]), residents, int(self.processes[row]))


def columns(
    problem: Problem,
    kind: Kind,
    members: Sequence[int],
    optimistic: bool = False,
    together: int = LOOKED_AT,
) -> Columns:
    """The parts of a kind for the workloads of `members`, up to `together` on each as the rules allow.

    `optimistic`: where not all batches of three are looked at, those looked at stand for the ones between,
    served as by the larger and as fast as the smaller: good for a bound, not for a placement.
    """
    found = [_alone(problem, kind, index) for index in members]
    most = min(problem.rules.models_per_part, together)
    curves = {index: _curve(problem, kind, index) for index in members}
    felt = problem.rules.interference is not NOT_FELT
    all_triples = not felt and comb(len(members), LOOKED_AT) <= FEW_TRIPLES
    for count in range(2, most + 1):
        options = {
            index: _all(curve) if count < LOOKED_AT or all_triples else _some(curve, optimistic)
            for index, curve in curves.items()
        }
        for group in combinations(members, count):
            found.append(_together(problem, group, [options[index] for index in group]))
    rows = [rows for rows in found if len(rows[3])]
    if not rows:
        nothing = np.zeros((0, 3))
        whole = nothing.astype(np.int64)
        return Columns(kind, whole, whole, nothing, np.zeros(0), np.zeros(0, dtype=np.int64))
    workloads, batches, rates_rps, cycle_ms, processes = (
        np.concatenate([row[position] for row in rows]) for position in range(5)
    )
    return Columns(kind, workloads, batches, rates_rps, cycle_ms, processes)


Rows = tuple[Whole, Whole, Matrix, Matrix, Whole]
Options = tuple[Whole, Matrix]
"""Batches, and what they take in ms."""


def _curve(problem: Problem, kind: Kind, index: int, processes: int = 1) -> Matrix:
    """Latencies by batch size of a workload on a kind of part; infinite where it would press too hard."""
    alone = problem.latency_ms(index, kind.size, processes)
    if kind.felt is None:
        return alone
    longer = factors(problem.felt(index, kind.size, processes), kind.felt)
    presses = problem.caused(index, kind.size, processes) > kind.puts * (1 + 1e-12)
    return problem.latency_ms(index, kind.size, processes, np.where(presses, np.inf, longer))


def _alone(problem: Problem, kind: Kind, index: int) -> Rows:
    workload = problem.workloads[index]
    rows = []
    for processes in problem.rules.card.processes:
        batch, latency_ms = best_alone(_curve(problem, kind, index, processes), workload.slo_ms)
        if batch:
            rows.append((1000 * processes * batch / latency_ms, batch, latency_ms, processes))
    if not rows:
        return _no_rows()
    rate_rps, batch, cycle_ms, copies = max(rows)
    return (
        np.array([[index, -1, -1]]),
        np.array([[batch, 0, 0]]),
        np.array([[min(rate_rps, workload.rate_rps), 0, 0]]),
        np.array([cycle_ms]),
        np.array([copies]),
    )


def _all(curve: Matrix) -> Options:
    batches = np.flatnonzero(np.isfinite(curve))
    return batches, curve[batches]


def _some(curve: Matrix, optimistic: bool) -> Options:
    chosen = np.array([batch for batch in TRIPLE_BATCHES if batch < len(curve)], dtype=np.int64)
    fastest = np.concatenate([[1], chosen[:-1] + 1])[: len(chosen)]
    fastest = fastest.astype(np.int64) if optimistic else chosen
    taken = np.array([curve[low : high + 1].min() for low, high in zip(fastest, chosen, strict=True)])
    there = np.isfinite(taken)
    return chosen[there], taken[there]


def _together(problem: Problem, group: Sequence[int], options: Sequence[Options]) -> Rows:
    """Those who take turns: of all combinations of batches, the ones that no other of the group beats."""
    count = len(group)
    grids = np.meshgrid(*[option[1] for option in options], indexing="ij")
    batches = np.meshgrid(*[option[0] for option in options], indexing="ij")
    cycle_ms = np.sum(grids, axis=0)
    fits = np.ones(cycle_ms.shape, dtype=bool)
    for position, index in enumerate(group):
        own = grids[position] if problem.rules.late_binding else cycle_ms
        fits &= cycle_ms + own <= problem.workloads[index].slo_ms
    if not fits.any():
        return _no_rows()
    cycle = cycle_ms[fits]
    chosen = np.stack([each[fits] for each in batches], axis=1)
    asked = np.array([problem.workloads[index].rate_rps for index in group])
    rates = np.minimum(1000 * chosen / cycle[:, None], asked)
    keep = _unbeaten(rates)
    cycle, chosen, rates = cycle[keep], chosen[keep], rates[keep]
    wide = np.zeros((len(cycle), 3))
    wide[:, :count] = rates
    batch = np.zeros((len(cycle), 3), dtype=np.int64)
    batch[:, :count] = chosen
    who = np.full((len(cycle), 3), -1, dtype=np.int64)
    who[:, :count] = group
    return who, batch, wide, cycle, np.ones(len(cycle), dtype=np.int64)


def _unbeaten(rates: Matrix) -> Whole:
    """Rows that no other row equals or exceeds in every column; of equal rows the first."""
    order = np.lexsort(tuple(-rates[:, column] for column in reversed(range(rates.shape[1]))))
    if rates.shape[1] == 2:
        best = np.maximum.accumulate(rates[order, 1])
        kept_rows: Whole = order[np.concatenate([[True], rates[order[1:], 1] > best[:-1]])]
        return kept_rows
    # In this order a row is beaten by those before it, if at all: by their second and third rate. `seconds`
    # ascend, and `thirds` descend, over those before it that no other of them beats in both.
    seconds: list[float] = []
    thirds: list[float] = []
    kept: list[int] = []
    for row, (second, third) in zip(order.tolist(), rates[order, 1:].tolist(), strict=True):
        end = begin = bisect_left(seconds, second)
        if end < len(seconds) and thirds[end] >= third:
            continue
        kept.append(row)
        end += end < len(seconds) and seconds[end] == second
        while begin and thirds[begin - 1] <= third:
            begin -= 1
        seconds[begin:end], thirds[begin:end] = [second], [third]
    return np.array(kept, dtype=np.int64)


def _no_rows() -> Rows:
    whole = np.zeros((0, 3), dtype=np.int64)
    return whole, whole, np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=np.int64)


def kinds_by_layout(
    problem: Problem, members: Sequence[int], levels: int, optimistic: bool = False
) -> list[tuple[Kind, ...]]:
    """Each way to cut a GPU, as the kinds of its parts. With interference, on GPUs of two parts, each of them
    may press up to one of `levels` marks, the other is computed with that; on GPUs of more parts there is one
    mark, the hardest press of all.

    `optimistic`: computed with the mark below, for the lowest with the softest press of all: good for a
    bound, not for a placement. Parts may then be left out: who has fewer neighbours feels less.
    """
    layouts: Sequence[tuple[int, ...]] = problem.rules.card.layouts()
    if optimistic and problem.rules.interference is not NOT_FELT:
        layouts = _some_left_out(layouts)
    found: list[tuple[Kind, ...]] = []
    for sizes in layouts:
        if len(sizes) == 1:
            found.append((Kind(sizes[0]),))
            continue
        marks = [_marks(problem, members, size, levels if len(sizes) == 2 else 1) for size in sizes]
        found += [tuple(kinds) for kinds in _pressed(sizes, marks, optimistic)]
    return found


def _some_left_out(layouts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The layouts, and what is left of them without some parts."""
    fewer = (
        sizes
        for layout in layouts
        for count in range(1, len(layout) + 1)
        for sizes in combinations(layout, count)
    )
    return list(dict.fromkeys(fewer))


def _pressed(
    sizes: Sequence[int], marks: Sequence[Sequence[float]], optimistic: bool
) -> Iterator[list[Kind]]:
    """Kinds of the parts for every choice of marks. The first of each part's marks is the softest press."""
    for index in np.ndindex(*[len(each) - 1 for each in marks]):
        puts = [each[position + 1] for each, position in zip(marks, index, strict=True)]
        least = [each[position] for each, position in zip(marks, index, strict=True)]
        put = least if optimistic else puts
        felt = [sum(put) - own for own in put]
        yield [Kind(size, most, pressure) for size, most, pressure in zip(sizes, puts, felt, strict=True)]


def _marks(problem: Problem, members: Sequence[int], size: int, levels: int) -> list[float]:
    """The softest press of all, and the marks up to which a part may press; the last is the hardest."""
    pressures = sorted(
        pressure
        for index in members
        for pressure in problem.caused(index, size)[np.isfinite(problem.latency_ms(index, size))].tolist()
    )
    if not pressures or pressures[-1] <= 0:
        return [min([0.0, *pressures]), 0.0]
    at = [pressures[max(0, len(pressures) * number // levels - 1)] for number in range(1, levels + 1)]
    return [pressures[0], *sorted(set(at))]
