"""What every server is to those who measure it: started with models, asked, its processes known, stopped."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
import requests

from experiments.base.errors import ServerError, UsageError
from experiments.servers.dialects import Dialect, Input, Prediction
from experiments.serving.instances import processes_of
from experiments.serving.registration import MODEL, Registration

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 60.0


class RefusedError(ServerError):
    """A server answers, but not with a prediction."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server with its models loaded, on a port of 127.0.0.1. Whoever started it stops it.

    `folder` is its private one, which ends with it; `workers` tells the pids of the processes that hold a
    model now, `log` what was printed last, at most 16 kB.
    """

    server: str
    dialect: Dialect
    port: int
    folder: Path
    pid: int
    workers: Callable[[], list[int]]
    log: Callable[[], str]
    headers: Mapping[str, str] = field(default_factory=dict)

    def predict_url(self, model: str = MODEL) -> str:
        """Where a model answers POST requests that carry `headers`."""
        return f"http://{HOST}:{self.port}{self.dialect.predict_path.format(model=model)}"

    def family(self) -> list[psutil.Process]:
        """All of its processes, whoever is their parent."""
        return processes_of(self.folder)

    def predict(self, text: Input, model: str = MODEL) -> Prediction:
        """Its answer to one text, or to the file of an image.

        Raises ServerError where there is none, AnswerError where it is no such.
        """
        body = self.dialect.body(text)
        headers = {"Content-Type": body.content_type, **self.headers}
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment is not for loopback
            try:
                answer = session.post(
                    self.predict_url(model), body.data, headers=headers, timeout=ANSWER_TIMEOUT_S
                )
            except requests.RequestException as error:
                raise ServerError(f"{self.server} does not answer: {error}", self.log()) from error
        if answer.status_code != 200:
            said = " ".join(answer.text.split())[:200]
            raise RefusedError(f"{self.server} answers {answer.status_code}: {said}", self.log())
        return self.dialect.read(answer.content)


class Server(Protocol):
    """A kind of server."""

    @property
    def name(self) -> str: ...
    @property
    def delay(self) -> str:
        """What `batch_delay_ms` means there, in a few words."""
        ...

    def start(
        self,
        models: Sequence[Registration],
        *,
        threads: int = 1,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Running]:
        """The server with these models on the CPU, each answering, stopped at the end whatever happens.

        Every worker gets `threads` torch threads, and `env` beside what this process has, such as
        HANDLER_ENGINE; without `port` a free one is taken. Raises UsageError
        where the server's environment, an archive or the port is not there to be used, ServerError where the
        server does not come up.
        """
        ...


def free_port(asked: int | None) -> int:
    """`asked`, or any that is free now. Raises UsageError where `asked` is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, asked or 0))
        except OSError as error:
            raise UsageError(
                f"port {asked}: {error.strerror}: stop what listens there or give another"
            ) from error
        return int(probe.getsockname()[1])


def cpu_s(family: Sequence[psutil.Process]) -> float:
    """Seconds that the processes have spent on the CPU; those that are gone don't count any more."""
    total = 0.0
    for process in family:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(family: Sequence[psutil.Process]) -> int:
    """The sum of what each has resident: what they share counts for each of them."""
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
