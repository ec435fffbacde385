"""What rates the parts of one GPU can serve at once: batches for those who take turns, neighbours felt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.placement.checker import latencies_ms
from experiments.placement.interference import NOT_FELT, factors
from experiments.placement.latencies import Curve
from experiments.placement.placed import Part, Resident
from experiments.placement.problem import Problem

ROUNDS = 20
"""How often batches are chosen anew as neighbours press harder than was thought."""
REMEMBERED = 100_000
"""Answers of one problem that are kept at a time, for the sake of memory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part of `size` that is to serve these rates in requests/s, by workload."""

    size: int
    rates_rps: Mapping[int, float]

    def plus(self, workload: int, rate_rps: float) -> "Wanted":
        """The same, asked for more of a workload."""
        return Wanted(self.size, {**self.rates_rps, workload: self.rates_rps.get(workload, 0.0) + rate_rps})


def settled(problem: Problem, wanted: Sequence[Wanted]) -> tuple[Part, ...] | None:
    """The parts of one GPU, with batches and cycles that serve what is wanted; None where there are none.

    What was asked of the problem before is remembered.
    """
    known = problem.settled
    asked = tuple((part.size, *part.rates_rps.items()) for part in wanted)
    if asked not in known:
        if len(known) >= REMEMBERED:
            known.clear()
        known[asked] = _settled(problem, wanted)
    return known[asked]


def _settled(problem: Problem, wanted: Sequence[Wanted]) -> tuple[Part, ...] | None:
    """Pressures only rise from round to round, as batches are chosen for them: so it ends."""
    if not problem.rules.card.holds([part.size for part in wanted]) or _over_memory(problem, wanted):
        return None
    beside = len(wanted) > 1 and problem.rules.interference is not NOT_FELT
    pressures = [0.0] * len(wanted)
    for _ in range(ROUNDS):
        residents = [
            batches(problem, part, pressure if beside else None)
            for part, pressure in zip(wanted, pressures, strict=True)
        ]
        if not all(residents):
            return None
        parts = [Part(part.size, 0.0, each or ()) for part, each in zip(wanted, residents, strict=True)]
        puts = [_puts(problem, part) for part in parts]
        felt = [sum(puts) - own for own in puts]
        if not beside or all(now <= then + 1e-12 for now, then in zip(felt, pressures, strict=True)):
            return tuple(
                Part(part.size, sum(latencies_ms(place, parts, problem)), part.residents)
                for place, part in enumerate(parts)
            )
        pressures = [max(now, then) for now, then in zip(felt, pressures, strict=True)]
    return None


def batches(problem: Problem, part: Wanted, pressure: float | None = None) -> tuple[Resident, ...] | None:
    """The batches that leave most time to spare, under the neighbours' pressure (None: no neighbours).

    A cycle of d ms needs batches of at least d times the rate. The longest cycles with given batches are
    looked at: those at which somebody's batch is just full.
    """
    members = sorted(part.rates_rps)
    if len(members) > problem.rules.models_per_part:
        return None
    rates = np.array([part.rates_rps[index] for index in members]) / 1000
    curves = [_curve(problem, index, part.size, pressure) for index in members]
    cycle = np.concatenate(
        [np.arange(1, len(curve)) / rate for curve, rate in zip(curves, rates, strict=True)]
    )
    chosen = np.maximum(1, np.ceil(cycle[:, None] * rates - 1e-9)).astype(np.int64)
    own = np.stack(
        [
            np.where(column < len(curve), curve[np.minimum(column, len(curve) - 1)], np.inf)
            for column, curve in zip(chosen.T, curves, strict=True)
        ],
        axis=1,
    )
    taken = own.sum(axis=1)
    bounds = np.array([problem.workloads[index].slo_ms for index in members])
    after = own if problem.rules.late_binding else taken[:, None]
    fits = (taken <= cycle) & (taken[:, None] + after <= bounds).all(axis=1)
    if not fits.any():
        return None
    best = int(np.argmin(np.where(fits, taken / cycle, np.inf)))
    return tuple(Resident(index, int(batch)) for index, batch in zip(members, chosen[best], strict=True))


def occupancy(wanted: Wanted, part: Part) -> float:
    """The fraction of its time that a part needs for what is wanted of it."""
    return max(
        wanted.rates_rps[resident.workload] / part.capacity_rps(resident) for resident in part.residents
    )


def _curve(problem: Problem, index: int, size: int, pressure: float | None) -> Curve:
    if pressure is None:
        return problem.latency_ms(index, size)
    return problem.latency_ms(index, size, factor=factors(problem.felt(index, size), pressure))


def _puts(problem: Problem, part: Part) -> float:
    return max(
        float(problem.caused(resident.workload, part.size)[resident.batch]) for resident in part.residents
    )


def _over_memory(problem: Problem, wanted: Sequence[Wanted]) -> bool:
    memory = problem.rules.memory
    if memory is None:
        return False
    models = (problem.workloads[index].model for part in wanted for index in part.rates_rps)
    needed = len(wanted) * memory.process_bytes + sum(memory.model_bytes.get(model, 0) for model in models)
    return needed > memory.gpu_bytes
