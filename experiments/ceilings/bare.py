"""The bare model: a handler's own forward pass in a loop, without a server, in processes like the workers.

What serving can reach at most. Here: the processes, begun together, and the sum of what they achieve. The
loop itself is bare_loop.py; what the device could do at best is in roofline.py.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from experiments.base.errors import ExperimentError
from experiments.base.interrupts import carry_through
from experiments.base.owned import owned_folder
from experiments.base.paths import ROOT
from experiments.bench import pool_for
from experiments.bench.archive import provenance_of
from experiments.bench.model_store import MODEL_CONFIG, change_settings
from experiments.load import Body
from experiments.results.roofline import Work
from experiments.serving.torchserve.archives import unpack
from experiments.serving.workers import worker_env

ANSWER_TIMEOUT_S = 600.0  # a batch of 128 on a slow CPU takes its time
END_TIMEOUT_S = 1.0


class BareModelError(ExperimentError):
    """A model that can't be run alone. `details`: what its process printed last."""


@dataclass(frozen=True, slots=True)
class BareResult:
    """What `processes` achieve together, each with `threads`, on batches of `batch_size` requests.

    `batch_ms` is how long a process takes for one batch, results on the CPU; `batches` were measured in all.
    """

    batch_size: int
    processes: int
    threads: int
    throughput_rps: float
    batch_ms: float
    batches: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a process with a loaded model tells of itself: the multiprocessors that it sees, None on a CPU,
    and the GPU's memory that its tensors take, or on a CPU what the process has resident."""

    multiprocessors: int | None
    memory_bytes: int


def measure(
    archive: Path,
    batch_size: int,
    *,
    processes: int,
    threads: int,
    tokens: int | None = None,
    duration_s: float,
    precision: str | None = None,
    seed: int = 0,
    pool: Sequence[Body] | None = None,
    gpu_id: int | None = None,
    env: Mapping[str, str] | None = None,
) -> BareResult:
    """The throughput of the archive's forward pass in fresh processes. See `bare_model` for the arguments."""
    with bare_model(
        archive,
        processes=processes,
        threads=threads,
        tokens=tokens,
        precision=precision,
        seed=seed,
        pool=pool,
        gpu_id=gpu_id,
        env=env,
    ) as model:
        return model.throughput(batch_size, duration_s)


@contextmanager
def bare_model(
    archive: Path,
    *,
    processes: int,
    threads: int,
    tokens: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
    seed: int = 0,
    pool: Sequence[Body] | None = None,
    gpu_id: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator["BareModel"]:
    """Fresh processes that load `archive` as TorchServe's workers do, ended when what is inside is done.

    They get what workers get: OMP_NUM_THREADS, HANDLER_PRECISION and HANDLER_ENGINE where they are given,
    and `env`; and what those are sent: `pool` (by default the sweep's own for this kind of model, with texts
    of `tokens` tokens), in the order of `seed`. `gpu_id` is CUDA's number of the GPU, None the CPU.

    Raises UsageError for an archive that can't be read.
    """
    seats = [Seat(worker_env(threads, precision, engine) | dict(env or {}))] * processes
    with _running(archive, seats, threads, tokens, precision, seed, pool, gpu_id) as loops:
        yield BareModel(archive.name, threads, loops)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one process runs: what its environment has besides, and the cores that it may use, by default
    all."""

    env: Mapping[str, str] = field(default_factory=dict)
    cores: Sequence[int] | None = None


@contextmanager
def seated_models(
    archive: Path,
    seats: Sequence[Seat],
    *,
    threads: int,
    tokens: int | None = None,
    precision: str | None = None,
    seed: int = 0,
    pool: Sequence[Body] | None = None,
    gpu_id: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[list["BareModel"]]:
    """The model once in each seat, each asked on its own; otherwise as `bare_model`. `settings` take the
    place of the archive's own in its model-config.yaml."""
    with _running(archive, seats, threads, tokens, precision, seed, pool, gpu_id, settings) as loops:
        yield [BareModel(archive.name, threads, [loop]) for loop in loops]


@contextmanager
def _running(
    archive: Path,
    seats: Sequence[Seat],
    threads: int,
    tokens: int | None,
    precision: str | None,
    seed: int,
    pool: Sequence[Body] | None,
    gpu_id: int | None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[list["_Loop"]]:
    """A process in each seat, ended when what is inside is done."""
    if pool is None:
        pool = pool_for(provenance_of(archive).kind, None, tokens, archive)
    environment = os.environ | worker_env(threads, precision)
    with owned_folder("bare-model-") as folder:
        unpack(archive, folder / "model")
        if settings:
            config = folder / "model" / MODEL_CONFIG
            text = config.read_text("utf-8") if config.exists() else ""
            config.write_text(change_settings(text, settings), "utf-8")
        asked = {"folder": str(folder / "model"), "bodies": _put_down(pool, folder)}
        (folder / "asked.json").write_text(
            json.dumps(asked | {"gpu_id": gpu_id, "seed": seed}), encoding="utf-8"
        )
        loops: list[_Loop] = []
        try:
            for number, seat in enumerate(seats):
                loops.append(_start(folder, environment | dict(seat.env), folder / f"errors-{number}"))
                if seat.cores is not None:
                    psutil.Process(loops[-1].process.pid).cpu_affinity(list(seat.cores))
            yield loops
        finally:
            carry_through(lambda: _end(loops))


@dataclass(frozen=True, slots=True)
class _Loop:
    """One process of bare_loop.py."""

    process: "subprocess.Popen[str]"
    errors: Path


class BareModel:
    """Processes that hold a model each and do together what they are asked. Made by `bare_model`."""

    def __init__(self, name: str, threads: int, loops: Sequence[_Loop]) -> None:
        self.name = name
        self.threads = threads
        self._loops = loops

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return [loop.process.pid for loop in self._loops]

    def throughput(self, batch_size: int, duration_s: float, windows: int = 1) -> BareResult:
        """All processes run batches for `duration_s`, at least one each; of several such windows, the one
        with the median throughput. Raises BareModelError."""
        return self._batches("forward", batch_size, duration_s, windows)

    def handled(self, batch_size: int, duration_s: float, windows: int = 1) -> BareResult:
        """The same with all that the handler does: reading the requests, the pass, writing the answers."""
        return self._batches("handled", batch_size, duration_s, windows)

    def _batches(self, task: str, batch_size: int, duration_s: float, windows: int) -> BareResult:
        in_order = self._together({"task": task, "batch_size": batch_size}, duration_s, windows)
        found = in_order[windows // 2]
        return BareResult(
            batch_size=batch_size,
            processes=len(self._loops),
            threads=self.threads,
            throughput_rps=_rate(found),
            batch_ms=1e3 * sum(one["window_s"] / one["steps"] for one in found) / len(found),
            batches=sum(one["steps"] for one in found),
        )

    def flops(self, precision: str, duration_s: float, windows: int = 1) -> float:
        """Floating-point operations a second that all processes reach with large matrix products.

        The best of the windows: whatever else the machine does can only hide a peak.
        """
        return _rate(self._together({"task": "matmul", "precision": precision}, duration_s, windows)[-1])

    def bytes_per_s(self, duration_s: float, windows: int = 1) -> float:
        """Bytes a second, read and written, that all processes reach copying large buffers, at best."""
        return _rate(self._together({"task": "copy"}, duration_s, windows)[-1])

    def load(self, batch_size: int) -> None:
        """Has the first process load the model as a worker does whose batches hold up to `batch_size`,
        without waiting for it: `loaded` does."""
        _say(self._loops[0], {"task": "load", "batch_size": batch_size})

    def loaded(self) -> Loaded:
        """What `load` came to. Raises BareModelError, with the handler's reason where it refuses."""
        return Loaded(**self._hear(self._loops[0]))

    def answers(self) -> list[str]:
        """What the first process answers to each body of the pool, in its order, one at a time: JSON.
        Raises BareModelError."""
        _say(self._loops[0], {"task": "answers"})
        return [str(answer) for answer in self._hear(self._loops[0])]

    def latencies_ms(self, batch_size: int, duration_s: float, fewest: int) -> list[float]:
        """How long each forward pass of the first process took on batches of `batch_size`, results on the
        CPU: those of `duration_s`, and `fewest` at least. The model is the one that `load` loaded."""
        self.begin_latencies(batch_size, duration_s, fewest)
        return self.heard_ms()

    def begin_latencies(self, batch_size: int, duration_s: float, fewest: int) -> None:
        """The same without waiting for it: `heard_ms` does, so that others can be at work meanwhile."""
        command = {"task": "latencies", "batch_size": batch_size, "duration_s": duration_s}
        _say(self._loops[0], command | {"fewest": fewest})

    def heard_ms(self) -> list[float]:
        """What `begin_latencies` came to."""
        return [float(each) for each in self._hear(self._loops[0])]

    def work(self) -> Work:
        """What a request consists of, counted while the first process answers each of the pool's inputs."""
        _say(self._loops[0], {"task": "count"})
        return Work(**self._hear(self._loops[0]))

    def _together(
        self, command: Mapping[str, Any], duration_s: float, windows: int
    ) -> list[list[dict[str, Any]]]:
        """For each window, the slowest first, what each process tells of the same task.

        It is begun when all are ready, and kept up until all have told.
        """
        self._say_to_all({**command, "duration_s": duration_s})
        for loop in self._loops:
            self._hear(loop)
        told = []
        for _ in range(windows):
            self._say_to_all("begin")
            told.append([self._hear(loop) for loop in self._loops])
        self._say_to_all("stop")
        return sorted(told, key=_rate)

    def _say_to_all(self, value: object) -> None:
        for loop in self._loops:
            _say(loop, value)

    def _hear(self, loop: _Loop) -> Any:
        assert loop.process.stdout is not None
        if not select.select([loop.process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise BareModelError(f"{self.name} without a server: no answer within {ANSWER_TIMEOUT_S:.0f} s")
        if line := loop.process.stdout.readline():
            return json.loads(line)
        printed = loop.errors.read_text("utf-8", errors="replace")
        cause = (printed.strip().splitlines() or [f"it ended with code {loop.process.wait()}"])[-1]
        raise BareModelError(f"{self.name} can't be run without a server: {cause}", details=printed[-16_384:])


def _rate(told: Sequence[Mapping[str, Any]]) -> float:
    """The sum of the processes' amounts a second."""
    return float(sum(one["amount"] / one["window_s"] for one in told))


def _start(folder: Path, environment: Mapping[str, str], errors: Path) -> _Loop:
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.ceilings.bare_loop", str(folder / "asked.json")],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; it ends with its standard input in any case
        )
    return _Loop(process, errors)


def _say(loop: _Loop, value: object) -> None:
    """A process that is gone is found out when its answer is missing."""
    stdin: IO[str] | None = loop.process.stdin
    assert stdin is not None
    with suppress(BrokenPipeError):
        stdin.write(json.dumps(value) + "\n")
        stdin.flush()


def _end(loops: Sequence[_Loop]) -> None:
    """They end with their standard input, after the step at hand: NVIDIA's MPS document warns that a client
    that is killed with work on the GPU can leave the server and its other clients in an undefined state."""
    for loop in loops:
        with suppress(BrokenPipeError):  # what could not be written any more
            if loop.process.stdin is not None:
                loop.process.stdin.close()
    deadline = time.monotonic() + END_TIMEOUT_S
    for loop in loops:
        try:
            loop.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            loop.process.kill()
            loop.process.wait()
        if loop.process.stdout is not None:
            loop.process.stdout.close()


def _put_down(pool: Sequence[Body], folder: Path) -> list[tuple[str, str]]:
    """The bodies as files of `folder`: (content type, path) of each."""
    placed = []
    for number, body in enumerate(pool):
        path = folder / f"body-{number}"
        path.write_bytes(body.data)
        placed.append((body.content_type, str(path)))
    return placed
