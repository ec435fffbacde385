"""The life of a server that is no TorchServe: started in a session of its own, asked until it answers,
stopped so that no process, port or file is left.

What to start is told by a recipe, of triton.py, litserve.py or bentoml.py. All run on the CPU and listen on
127.0.0.1 alone.
"""

import io
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from experiments.base.errors import ServerError, ended_at_start
from experiments.base.files import write_json
from experiments.base.interrupts import carry_through, interrupts_held_back
from experiments.servers.dialects import Dialect, Input
from experiments.servers.environments import Environment, whole
from experiments.servers.guard import guarded
from experiments.servers.served import HOST, RefusedError, Running, free_port
from experiments.serving.instances import end_processes_of, instance_folder, processes_of
from experiments.serving.registration import Registration
from experiments.serving.torchserve.archives import unpack
from experiments.serving.workers import worker_env

PROGRAMS = Path(__file__).parent / "programs"
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 10.0  # to end by itself; then its processes are killed
START_ATTEMPTS = 3  # another program can take a free port between our choice and the bind
PERIOD_S = 0.05
PORT_TAKEN = "already in use"
SERVED = "served.json"
LOG = "server.log"
FAILED = "failed-to-load"  # of archived.py
MOST_SHOWN = 300  # characters of a reason
OF_ANOTHER_PYTHON = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
LOG_BYTES = 16_384
MOST_REFUSED = 50  # answers without a prediction, after all models are loaded
PROBE = "Is anybody there?"
PROBE_PIXELS = (64, 64)
IMAGE_RECIPE = "preprocessor_config.json"  # in the archives of models that take images
PROVENANCE = "provenance.json"  # in those of make mar


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a recipe is to serve: models, whose archives are unpacked in `folder`/store/<name>, at a port.
    `env` is what the workers have from their environment."""

    models: Sequence[Registration]
    folder: Path
    port: int
    env: Mapping[str, str] = field(default_factory=dict)

    def store(self, model: Registration) -> Path:
        """Where the model's archive is unpacked."""
        return self.folder / "store" / model.name

    def takes_images(self, model: Registration) -> bool:
        """Whether the model classifies images, and not texts."""
        return (self.store(model) / IMAGE_RECIPE).is_file()

    def tells_vectors(self, model: Registration) -> bool:
        """Whether the model answers with embeddings, and not with labels."""
        with suppress(OSError, ValueError):
            told = json.loads((self.store(model) / PROVENANCE).read_text("utf-8"))
            return isinstance(told, dict) and told.get("kind") == "embedding"
        return False

    def probe(self, model: Registration) -> Input:
        """What the model is asked to see whether it answers."""
        if not self.takes_images(model):
            return PROBE
        out = io.BytesIO()
        Image.new("RGB", PROBE_PIXELS).save(out, "JPEG")
        return out.getvalue()

    def told(self, model: Registration) -> dict[str, str | int]:
        """A model as the programs are told of it."""
        return {
            "name": model.name,
            "folder": str(self.store(model)),
            "workers": model.workers,
            "batch_size": model.batch_size,
            "batch_delay_ms": model.batch_delay_ms,
            "inputs": model.inputs,
            "tells_vectors": self.tells_vectors(model),
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a server is started and ended: `loads` is how often a model is loaded by all of its processes,
    `end` the signal on which it ends with all of them, `env` what it needs beside ours."""

    command: Sequence[str | Path]
    loads: int
    end: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Other:
    """A server with an environment of its own, by its recipe. `environment`: None for the one that was
    added."""

    name: str
    delay: str
    dialect: Dialect
    recipe: Callable[[Environment, Wanted], Recipe]
    environment: Environment | None = None

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
        environment = self.environment or whole(self.name)
        with guarded(), instance_folder() as folder, ExitStack() as life:
            life.callback(carry_through, lambda: end_processes_of(folder))
            for model in models:
                unpack(model.archive, folder / "store" / model.name)
            own = worker_env(threads, None) | dict(env or {})
            wanted = Wanted(models, folder, free_port(port), own)
            yield self._begin(life, environment, wanted, START_ATTEMPTS if port is None else 1)

    def _begin(self, life: ExitStack, environment: Environment, wanted: Wanted, attempts: int) -> Running:
        """The server, up; its end is pushed on `life`. Takes another port where somebody was faster."""
        for attempt in range(1, attempts + 1):
            with ExitStack() as trial:
                recipe = self.recipe(environment, wanted)
                process = trial.enter_context(_process(recipe, wanted))
                server = self._running(process.pid, wanted)
                try:
                    _wait_until_up(server, process, recipe, wanted)
                except ServerError as error:
                    if PORT_TAKEN not in error.details.lower() or attempt == attempts:
                        raise
                else:
                    life.push(trial.pop_all())
                    return server
            wanted = replace(wanted, port=free_port(None))
        raise AssertionError("unreachable")

    def _running(self, pid: int, wanted: Wanted) -> Running:
        folder = wanted.folder
        return Running(
            self.name,
            self.dialect,
            wanted.port,
            folder,
            pid,
            lambda: sorted(set(_noted(folder)) & {each.pid for each in processes_of(folder)}),
            lambda: _log(folder),
        )


@contextmanager
def _process(recipe: Recipe, wanted: Wanted) -> Iterator["subprocess.Popen[bytes]"]:
    """The server's first process; when what is inside is done, it and all that came of it are ended."""
    with interrupts_held_back():  # a process that was begun is known
        process = _spawn(recipe, wanted)
    end: signal.Signals | None = recipe.end
    try:
        yield process
    except KeyboardInterrupt:
        end = None  # nobody waits for what it would still do: what it leaves is removed by us
        raise
    finally:
        carry_through(lambda: _stop(process, end, wanted.folder))


def _spawn(recipe: Recipe, wanted: Wanted) -> "subprocess.Popen[bytes]":
    folder = wanted.folder
    write_json(
        folder / SERVED, {"host": HOST, "port": wanted.port, "models": [*map(wanted.told, wanted.models)]}
    )
    environment = {key: value for key, value in os.environ.items() if key not in OF_ANOTHER_PYTHON}
    environment |= dict(wanted.env) | {
        "TMPDIR": str(folder),
        "SERVED_MODELS": str(folder / SERVED),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with (folder / LOG).open("wb") as log:
        return subprocess.Popen(
            [str(word) for word in recipe.command],
            cwd=folder,
            env=environment | dict(recipe.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us, and we stop it; its group is ours to kill
        )


def _stop(process: "subprocess.Popen[bytes]", end: signal.Signals | None, folder: Path) -> None:
    """Has the server end by itself on the signal `end`, so that it removes what it has made, and kills what
    is left of it; all at once where there is no `end`."""
    if end is not None:
        with suppress(ProcessLookupError):
            process.send_signal(end)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    end_processes_of(folder)
    process.wait()


def _wait_until_up(
    server: Running, process: "subprocess.Popen[bytes]", recipe: Recipe, wanted: Wanted
) -> None:
    """Returns when all workers hold their models and every model has answered. Raises ServerError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    answered: set[str] = set()
    refused = 0
    while len(answered) < len(wanted.models):
        log = server.log()
        code = process.poll()
        if (failed := server.folder / FAILED).exists():
            reason = failed.read_text("utf-8", errors="replace")[:MOST_SHOWN]
            raise ServerError(f"{server.server} could not load a model: {reason}", log)
        if code is not None:
            raise ended_at_start(server.server, code, _cause(log), log)
        if PORT_TAKEN in log.lower():
            raise ServerError(f"{server.server} does not come up at its start: {_cause(log)}", log)
        if time.monotonic() > deadline:
            raise ServerError(f"{server.server} is not up after {START_TIMEOUT_S:.0f} s: {_cause(log)}", log)
        time.sleep(PERIOD_S)
        if len(_noted(server.folder)) < recipe.loads:
            continue
        for model in wanted.models:
            try:
                server.predict(wanted.probe(model), model.name)
                answered.add(model.name)
            except RefusedError:
                refused += 1
                if refused > MOST_REFUSED:
                    raise
            except ServerError:
                continue  # it does not listen yet


def _noted(folder: Path) -> list[int]:
    """The pid of every load of a model, by the files that archived.py leaves."""
    return [int(path.name.partition(".")[0]) for path in folder.glob("*.worker")]


def _log(folder: Path) -> str:
    with suppress(FileNotFoundError), (folder / LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
        return log.read().decode(errors="replace")
    return ""


def _cause(log: str) -> str:
    """The line of a log that most likely says what is wrong: the last that names an error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"error|failed|in use", line, re.IGNORECASE)]
    return (named or lines or ["it printed no reason"])[-1][:MOST_SHOWN]
