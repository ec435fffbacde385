"""Who sits where: a placement's residents as models that TorchServe serves, each on its part of a device."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.base.errors import UsageError
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem

BATCH_DELAY_MS = 1
"""As short as TorchServe allows: a worker that is free shall not wait for a batch to fill."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A resident as TorchServe serves it: under `name`, one worker, `weight` of its workload's requests.

    `cores` are those of a CPU that it keeps to, None on a GPU. `shares_part` with others, in turns. `served`
    are the handler's settings that it was profiled with, as far as known: the rest are the archive's.
    """

    name: str
    workload: int
    gpu: int
    place: int
    size: int
    batch: int
    weight: float
    cores: tuple[int, ...] | None
    shares_part: bool
    served: Mapping[str, str] = field(default_factory=dict)

    def handler_settings(self, turns: str) -> dict[str, Any]:
        """Its `handler:` section; `turns` is a folder for the files that those of a part lock in turns."""
        section: dict[str, Any] = (
            {"thread_percentage": self.size} if self.cores is None else {"cores": list(self.cores)}
        )
        section.update(self.served)
        if self.shares_part:
            section["turns"] = f"{turns}/gpu{self.gpu}-part{self.place}"
        return section


def seats(placement: Placement, problem: Problem, cores: tuple[int, ...] | None = None) -> list[Seat]:
    """The seats of a placement, in its order. `cores` are those of the CPU that stands for each GPU: parts
    get so many of them as their share comes to.

    Raises UsageError for names that TorchServe can't serve, copies of a model on one MIG instance, parts that
    come to no whole cores, and more than one GPU where a CPU stands for it.
    """
    if cores is not None and len(placement.gpus) > 1:
        raise UsageError(f"the placement is for {len(placement.gpus)} GPUs, and the CPU here stands for one")
    capacities = [placement.capacity_rps(index) for index in range(len(problem.workloads))]
    found: list[Seat] = []
    for gpu, parts in enumerate(placement.gpus):
        dealt = 0
        for place, part in enumerate(parts):
            if part.processes > 1:
                raise UsageError(
                    "several copies of a model on a MIG instance can't be deployed from here yet"
                )
            mine = None if cores is None else cores[dealt : dealt + _whole_cores(part.size, len(cores))]
            dealt += 0 if mine is None else len(mine)
            for resident in part.residents:
                index = resident.workload
                found.append(
                    Seat(
                        _name(problem.workloads[index].name, sum(seat.workload == index for seat in found)),
                        index,
                        gpu,
                        place,
                        part.size,
                        resident.batch,
                        part.capacity_rps(resident) / capacities[index],
                        mine,
                        len(part.residents) > 1,
                        problem.table.served.get(problem.workloads[index].model, {}),
                    )
                )
    return found


def _whole_cores(size: int, cores: int) -> int:
    count = size * cores / 100
    if count < 1 or abs(count - round(count)) > 1e-9:
        raise UsageError(f"a share of {size} % of {cores} cores is {count:g}: use shares of whole cores")
    return round(count)


def _name(workload: str, number: int) -> str:
    """Under which the n-th seat of a workload is served."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", workload):
        raise UsageError(f"{workload!r} can't be a model's name under TorchServe: use letters, digits, . _ -")
    return workload if number == 0 else f"{workload}-{number + 1}"
