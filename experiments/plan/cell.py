"""One configuration under one load: what a sweep compares."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.base.numbers import plain
from experiments.plan.servers import TORCHSERVE

# A worker that finds a full queue fills its batch at once; two requests per slot keep the queue full
# while every worker has a batch in flight, without the needless waiting that more would add.
REQUESTS_IN_FLIGHT_PER_SLOT = 2

DEFAULT_DELAY_MS = 10

LIMITS = ("thread_percentage", "sm_chunks", "memory_limit_mib")
"""The settings of a cell that limit its workers; MPS alone heeds them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration under one load, compared with the others.

    `engine` or `precision` None is the archive's. `rate_rps` None is a closed loop. `concurrency` None is
    what the plan makes of it: a full queue in a closed loop, in an open one as many requests in flight as it
    takes. `client_batch` inputs share a request. With MPS each worker may use `thread_percentage` of the GPU
    and `memory_limit_mib` of its memory, or all of them share a static partition of `sm_chunks`. `server` is
    the one that the model is behind.
    """

    model: str
    mps: bool
    precision: str | None
    thread_percentage: int | None
    workers: int
    batch_size: int
    batch_delay_ms: int
    concurrency: int | None = None
    rate_rps: float | None = None
    client_batch: int = 1
    twin: bool = False  # the same as another cell: how far the two differ is the noise floor
    memory_limit_mib: int | None = None
    sm_chunks: int | None = None
    engine: str | None = None
    server: str = TORCHSERVE

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        limits = f" at {' and '.join(self.limits)}" if self.limits else ""
        mps = f", MPS{limits}" if self.mps else ""
        special = "".join(f", {each}" for each in self.special())
        twin = ", once more" if self.twin else ""
        return f"{self.model}, {workers}, batch size {self.batch_size}{mps}{special}{twin}"

    def special(self) -> list[str]:
        """What is unusual about it beyond workers, batch size and MPS, in words."""
        told = []
        told += [self.server] if self.server != TORCHSERVE else []
        told += [each for each in (self.engine, self.precision) if each is not None]
        if self.batch_delay_ms != DEFAULT_DELAY_MS:
            told.append(f"batch delay {self.batch_delay_ms} ms")
        if self.client_batch > 1:
            told.append(f"{self.client_batch} inputs a request")
        if self.rate_rps is not None:
            told.append(f"sent {plain(self.rate_rps, 6)} requests/s")
        if self.concurrency is not None:
            told.append(f"{self.concurrency} in flight{' at most' if self.rate_rps is not None else ''}")
        return told

    @property
    def limits(self) -> list[str]:
        """What MPS allows its workers, in words; empty where that is the whole GPU."""
        return limits_told(*(getattr(self, name) for name in LIMITS))

    @property
    def without_mps(self) -> "Cell":
        """What it is compared with: the same but for MPS and its limits."""
        return replace(self, mps=False, thread_percentage=None, sm_chunks=None, memory_limit_mib=None)

    @property
    def registration(self) -> tuple[int, int, int]:
        """What a model must be loaded anew for: workers, batch size and batch delay in ms."""
        return self.workers, self.batch_size, self.batch_delay_ms

    @property
    def started_with(self) -> tuple[Any, ...]:
        """What a server must be started anew for: whatever its workers have from its environment; where it
        is not TorchServe, the registration too, which the others have from their start on, with the inputs of
        a request."""
        limits = self.thread_percentage, self.memory_limit_mib, self.sm_chunks
        registered = () if self.server == TORCHSERVE else (*self.registration, self.client_batch)
        return self.server, self.workers, self.mps, *limits, self.precision, self.engine, *registered


def limits_told(thread_percentage: int | None, sm_chunks: int | None, memory_mib: int | None) -> list[str]:
    """LIMITS in words: '50 %', '8 chunks', '4096 MiB'."""
    told = [f"{thread_percentage} %"] if thread_percentage else []
    told += [f"{sm_chunks} chunk{'s' if sm_chunks > 1 else ''}"] if sm_chunks else []
    return [*told, f"{memory_mib} MiB"] if memory_mib else told


def full_queue(cell: Cell) -> int:
    """The requests in flight that keep every worker's next batch waiting while it works on one."""
    return REQUESTS_IN_FLIGHT_PER_SLOT * cell.workers * cell.batch_size
