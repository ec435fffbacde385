"""The parts of a placement's GPUs, how much of its time each works, and equal GPUs as one."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.placement.checker import latencies_ms
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem


@dataclass(frozen=True, slots=True)
class Share:
    """A resident of a part: the requests a second that it is sent, what a batch of it takes in ms beside its
    neighbours, and the part of the time that it works, in full batches."""

    resident: Resident
    rate_rps: float
    latency_ms: float
    busy: float


@dataclass(frozen=True, slots=True)
class Used:
    """A part, and what each of its residents does with it."""

    part: Part
    shares: tuple[Share, ...]

    @property
    def busy(self) -> float:
        """The part of the time that somebody works on it."""
        return sum(share.busy for share in self.shares)


@dataclass(frozen=True, slots=True)
class Alike:
    """GPUs, by their numbers, that are cut alike, for the same workloads."""

    numbers: tuple[int, ...]
    parts: tuple[Used, ...]


def used(problem: Problem, placement: Placement) -> list[Alike]:
    """The GPUs in use, equal ones once, in the order of their first."""
    found: dict[tuple[Part, ...], list[int]] = {}
    for number, parts in enumerate(placement.gpus):
        found.setdefault(tuple(sorted(parts, key=_order)), []).append(number)
    capacity_rps = [placement.capacity_rps(index) for index in range(len(problem.workloads))]
    return [
        Alike(
            tuple(numbers), tuple(_used(problem, parts, place, capacity_rps) for place in range(len(parts)))
        )
        for parts, numbers in found.items()
    ]


def _order(part: Part) -> tuple[int, int]:
    """The largest first, then by workload."""
    return -part.size, part.residents[0].workload if part.residents else 0


def _used(problem: Problem, parts: Sequence[Part], place: int, capacity_rps: Sequence[float]) -> Used:
    """A workload's requests go to its parts in proportion to what each can serve."""
    part = parts[place]
    shares = []
    for resident, latency_ms in zip(part.residents, latencies_ms(place, parts, problem), strict=True):
        asked_rps = problem.workloads[resident.workload].rate_rps
        rate_rps = asked_rps * part.capacity_rps(resident) / capacity_rps[resident.workload]
        busy = rate_rps * latency_ms / 1000 / resident.batch / part.processes
        shares.append(Share(resident, rate_rps, latency_ms, busy))
    return Used(part, tuple(shares))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch size that a workload has on a size of part, and what such a batch takes in ms."""

    size: int
    processes: int
    batch: int
    latency_ms: float


def chosen(gpus: Sequence[Alike], workload: int) -> list[Chosen]:
    """What a placement has chosen for a workload, each combination once, ascending."""
    found: dict[tuple[int, int, int], Chosen] = {}
    for used in (used for alike in gpus for used in alike.parts):
        for share in used.shares:
            if share.resident.workload == workload:
                key = used.part.size, used.part.processes, share.resident.batch
                found.setdefault(key, Chosen(*key, share.latency_ms))
    return [found[key] for key in sorted(found)]
