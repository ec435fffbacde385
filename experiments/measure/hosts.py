"""What serves a campaign's model: TorchServe, whose models come and go, or another server, started with one.

Both are asked for the same things here, so that neither campaign nor trial has to know which it is.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from experiments.base.errors import ExperimentError, ServerError
from experiments.load import Answers, Body
from experiments.load.sources import LOOPBACK
from experiments.plan import Cell
from experiments.plan.servers import TORCHSERVE
from experiments.servers.dialects import AnswerError, Input
from experiments.servers.known import OTHERS
from experiments.servers.served import Running
from experiments.serving.instances import is_alive, processes_of
from experiments.serving.registration import Registration, Worker
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from experiments.watch.counters import Snapshot, snapshot

REPLACED_S = 5.0  # for a server to put another in a dead worker's place; not all do


class WorkersLostError(ServerError):
    """A server that is no TorchServe has lost workers for good: the next trial needs a new one."""


class Host(Protocol):
    """A running server, as a campaign uses it. TorchServe is one as it is."""

    @property
    def pid(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    @property
    def folder(self) -> Path: ...
    @property
    def predict_url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def register(self, registration: Registration) -> Sequence[Worker]: ...
    def unregister(self) -> None: ...
    def wait_for_workers(self, count: int) -> Sequence[Worker]: ...
    def log_mark(self) -> int: ...
    def log_since(self, mark: int) -> str: ...


class Guest:
    """Another server, which has its one model from its start on until its end."""

    def __init__(self, running: Running, registration: Registration) -> None:
        self.running, self.registration = running, registration
        self.pid, self.folder, self.headers = running.pid, running.folder, running.headers
        self.predict_url = running.predict_url()

    @property
    def alive(self) -> bool:
        """Whether its first process runs; one that has ended waits as a zombie for us to take note."""
        return is_alive(self.pid)

    def register(self, registration: Registration) -> list[Worker]:
        """Its workers; they have their model already."""
        assert registration == self.registration
        return self.wait_for_workers(registration.workers)

    def unregister(self) -> None:
        """Nothing: the model goes with the server."""

    def wait_for_workers(self, count: int) -> list[Worker]:
        """The processes that hold the model. Raises WorkersLostError where they are fewer and stay so."""
        deadline = time.monotonic() + REPLACED_S
        while len(pids := list(filter(is_alive, self.running.workers()))) < count:
            if time.monotonic() > deadline:
                told = f"{self.running.server} has {len(pids)} of {count} workers left"
                raise WorkersLostError(told, self.running.log())
            time.sleep(0.05)
        return [Worker(str(number), pid, "READY", on_gpu=False) for number, pid in enumerate(pids)]

    def log_mark(self) -> int:
        """0: its log is short."""
        return 0

    def log_since(self, mark: int) -> str:
        """What it printed last."""
        return self.running.log()


@contextmanager
def hosted(
    cell: Cell,
    archive: Path,
    threads: int,
    env: Mapping[str, str],
    settings: Mapping[str, str],
    listens_on: str = LOOPBACK,
) -> Iterator[Host]:
    """The server that a cell asks for, its workers with `env`; `settings` and `listens_on` are TorchServe's.
    Another server has the cell's model already. Raises ServerError where it does not come up."""
    if cell.server == TORCHSERVE:
        with torchserve(env=env, settings=settings, host=listens_on) as server:
            yield server
        return
    registration = Registration(archive, *cell.registration, inputs=cell.client_batch)
    with ExitStack() as life:
        try:
            started = OTHERS[cell.server].start([registration], threads=threads, env=env)
            running = life.enter_context(started)
        except ServerError:
            raise
        except ExperimentError as error:  # no room for its sockets, an answer of another form
            raise ServerError(f"{cell.server} can't serve it: {error}", error.details) from error
        yield Guest(running, registration)


def counters_of(server: Host) -> Snapshot | None:
    """What the server has counted; None where it does not count. Raises ServerError where it is gone."""
    if isinstance(server, TorchServe):
        return snapshot(server)
    if not server.alive:
        raise ServerError("the server ended during the trial", details=server.log_since(0))
    return None


def frontends(server: Host, workers: Sequence[int]) -> list[int]:
    """The processes between clients and workers: of TorchServe one, of another all that hold no model."""
    if not isinstance(server, Guest):
        return [server.pid]
    return [each.pid for each in processes_of(server.folder) if each.pid not in workers]


def bodies(server: Host, pool: Sequence[Body]) -> Sequence[Body]:
    """`pool` as the server wants it: plain texts, lists of them, or images where it is not TorchServe."""
    if not isinstance(server, Guest):
        return pool
    dialect = server.running.dialect
    return [replace(dialect.body(*_inputs(body)), name=body.name) for body in pool]


def _inputs(body: Body) -> Sequence[Input]:
    if body.content_type.startswith("image/"):
        return [body.data]
    text = body.data.decode()
    return list(json.loads(text)) if body.content_type.startswith("application/json") else [text]


def as_ours(server: Host, answers: Answers) -> Answers:
    """What a server answered, in the form of our handlers' answers. What can't be read stays as it is."""
    if not isinstance(server, Guest):
        return answers
    dialect = server.running.dialect
    read = dialect.read_each if server.registration.inputs > 1 else dialect.read
    found: dict[int, dict[bytes, int]] = {}
    for number, known in answers.of.items():
        for answer, count in known.items():
            told = answer
            with suppress(AnswerError):
                told = json.dumps(read(answer)).encode()
            of_body = found.setdefault(number, {})
            of_body[told] = of_body.get(told, 0) + count
    return Answers(found, answers.unkept)
