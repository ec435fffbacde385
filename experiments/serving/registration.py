"""How a model is registered with a server, and the workers that answer for it."""

from dataclasses import dataclass
from pathlib import Path

MODEL = "model"  # the name under which the one registered model is served


@dataclass(frozen=True, slots=True)
class Registration:
    """How a model is registered. `batch_delay_ms` is TorchServe's max_batch_delay, at least 1.

    `archive` is a .mar, or a folder that the server's store has already. A request holds `inputs` at most:
    TorchServe's batches are of requests, those of some other servers of inputs, so many times as many.
    """

    archive: Path
    workers: int
    batch_size: int
    batch_delay_ms: int = 10
    name: str = MODEL
    inputs: int = 1


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process as `GET /models/{name}` tells it. `status` is READY once the model is loaded."""

    id: str
    pid: int
    status: str
    on_gpu: bool
