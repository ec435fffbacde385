"""TorchServe as one of several servers: a thin layer over experiments/serving."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from experiments.servers.dialects import Dialect, PlainText
from experiments.servers.guard import guarded
from experiments.servers.served import Running
from experiments.serving.registration import Registration
from experiments.serving.torchserve.start import torchserve
from experiments.serving.workers import worker_env

ON_THE_CPU = {"number_of_gpu": "0"}


@dataclass(frozen=True, slots=True)
class OurTorchServe:
    """TorchServe with this project's settings."""

    name: str = "torchserve"
    delay: str = "counted from the first request that a worker has taken"
    dialect: Dialect = field(default_factory=PlainText)

    @contextmanager
    def start(
        self,
        models: Sequence[Registration],
        *,
        threads: int = 1,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Running]:
        """See `Server`."""
        own = worker_env(threads, None) | dict(env or {})
        with guarded(), torchserve(env=own, settings=ON_THE_CPU, port=port) as server:
            for model in models:
                server.register(model)
            yield Running(
                self.name,
                self.dialect,
                server.ports.inference,
                server.folder,
                server.process.pid,
                lambda: [worker.pid for model in models for worker in server.workers(model.name)],
                lambda: server.log_since(0),
                server.headers,
            )
