"""One configuration under one load: what a sweep compares."""

from dataclasses import dataclass, replace

from experiments.base.numbers import plain

# A worker that finds a full queue fills its batch at once; two requests per slot keep the queue full
# while every worker has a batch in flight, without the needless waiting that more would add.
REQUESTS_IN_FLIGHT_PER_SLOT = 2

DEFAULT_DELAY_MS = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration under one load, compared with the others.

    `precision` None is the archive's. `rate_rps` None is a closed loop. `concurrency` None is what the plan
    makes of it: a full queue in a closed loop, in an open one as many requests in flight as it takes.
    `client_batch` inputs share a request.
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

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        share = f" at {self.thread_percentage} %" if self.thread_percentage else ""
        mps = f", MPS{share}" if self.mps else ""
        special = "".join(f", {each}" for each in self.special())
        twin = ", once more" if self.twin else ""
        return f"{self.model}, {workers}, batch size {self.batch_size}{mps}{special}{twin}"

    def special(self) -> list[str]:
        """What is unusual about it beyond workers, batch size and MPS, in words."""
        told = []
        if self.precision is not None:
            told.append(self.precision)
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
    def without_mps(self) -> "Cell":
        """What it is compared with: the same but for MPS and its shares."""
        return replace(self, mps=False, thread_percentage=None)

    @property
    def registration(self) -> tuple[int, int, int]:
        """What TorchServe must load a model anew for: workers, batch size and batch delay in ms."""
        return self.workers, self.batch_size, self.batch_delay_ms

    @property
    def server(self) -> tuple[int, bool, int | None, str | None]:
        """What a server must be started anew for: whatever its workers have from its environment."""
        return self.workers, self.mps, self.thread_percentage, self.precision


def full_queue(cell: Cell) -> int:
    """The requests in flight that keep every worker's next batch waiting while it works on one."""
    return REQUESTS_IN_FLIGHT_PER_SLOT * cell.workers * cell.batch_size
