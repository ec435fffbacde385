"""A placement: which parts each GPU is cut into, and who takes turns on each."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resident:
    """A workload (by its place in the demand) on a part, in batches of `batch`."""

    workload: int
    batch: int


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a GPU, `size` in percent (shares) or slices. Its residents take turns: within each `duty_ms`
    every one gets one batch, in each of `processes` copies."""

    size: int
    duty_ms: float
    residents: tuple[Resident, ...]
    processes: int = 1

    def capacity_rps(self, resident: Resident) -> float:
        """Requests a second that a resident of it can be sent at most."""
        return 1000 * resident.batch * self.processes / self.duty_ms


@dataclass(frozen=True, slots=True)
class Placement:
    """The parts of each GPU in use."""

    gpus: tuple[tuple[Part, ...], ...]

    def parts(self) -> Iterator[tuple[int, Part]]:
        """Every part, with the number of its GPU."""
        for number, parts in enumerate(self.gpus):
            for part in parts:
                yield number, part

    def capacity_rps(self, workload: int) -> float:
        """What all parts together can serve of a workload."""
        return sum(
            part.capacity_rps(resident)
            for _, part in self.parts()
            for resident in part.residents
            if resident.workload == workload
        )
