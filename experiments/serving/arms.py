"""The arms of an experiment, without and with MPS: the environment of each, and the proof that it holds.

A worker joins MPS, or does not, when its CUDA context is created: by CUDA_MPS_PIPE_DIRECTORY in the
environment that it inherits from TorchServe. So an arm lasts as long as a server. The daemon's life and
the compute mode are the business of mps/; servers and trials know of arms only what stands in `Arm`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from experiments.base.errors import UsageError
from experiments.base.interrupts import carry_through
from experiments.base.owned import owned_folder
from experiments.serving.borrowed import number_for_clients, obstacles_of_running
from mps.card import Gpu, exclusive_process, preflight, processes
from mps.control import (
    PIPE_VARIABLE,
    MpsDaemon,
    MpsError,
    Partition,
    find_control,
    mps_daemon,
    running_daemon,
    too_old,
    version,
)

NOWHERE = "no-mps-"
RELEASE_TIMEOUT_S = 1.0  # Ctrl-C is to have cleaned up in about that time
OLDEST_WITH_PARTITIONS = (8, 0)  # compute capability
FIRST_WITH_PARTITIONS = 13_010  # CUDA 13.1, which came with driver 590


class Arm(Protocol):
    """One side of the comparison, in force."""

    @property
    def env(self) -> Mapping[str, str]:
        """What the server's environment needs."""
        ...

    @property
    def multiprocessors(self) -> int | None:
        """How many a worker may see at most, of the static partition that all share; None without one."""
        ...

    def clients(self, workers: Collection[int]) -> list[int]:
        """Those of the workers' pids that are clients of an MPS daemon now."""
        ...

    def problems(self, workers: Collection[int]) -> list[str]:
        """What speaks against every worker being in this arm; empty when it is proven."""
        ...

    def release(self, workers: Collection[int]) -> None:
        """Takes workers that are still at work out of the arm, so that they may be killed. Does not raise."""
        ...

    def check(self) -> None:
        """Raises ExperimentError when what carries the arm has failed."""
        ...


@dataclass(frozen=True, slots=True)
class MpsOptions:
    """How the arm with MPS is set up. `control` is nvidia-cuda-mps-control, by default the one on PATH."""

    keep_compute_mode: bool = False
    use_running_daemon: bool = False
    control: Path | None = None


@contextmanager
def arm(
    mps: bool,
    card: Gpu | None,
    options: MpsOptions,
    warn: Callable[[str], None],
    *,
    sm_chunks: int | None = None,
) -> Iterator[Arm]:
    """The arm without or with MPS on `card`; None is a machine without a GPU, which has the first one only.
    With `sm_chunks` all workers share a static partition of so many.

    Raises what `mps_daemon` and `exclusive_process` raise, MpsError where there is no such partition; what
    they changed is as before at the end.
    """
    if not mps or card is None:
        with owned_folder(NOWHERE) as nowhere:
            yield _Without(card, nowhere)
        return
    keep = options.keep_compute_mode
    with (
        exclusive_process(card, keep=keep, warn=warn),
        mps_daemon(
            binary=options.control,
            use_running=options.use_running_daemon,
            device=card.uuid,
            static_partitions=sm_chunks is not None,
        ) as daemon,
    ):
        if not options.use_running_daemon:
            # Else the first workers start it, and those that come meanwhile may be turned away.
            daemon.start_server()
        # A daemon of ours shows its clients this card alone, as number 0.
        select = {"CUDA_VISIBLE_DEVICES": "0"}
        if options.use_running_daemon:
            select = {**_select(card), "CUDA_VISIBLE_DEVICES": f"{number_for_clients(card)}"}
        partition = None if sm_chunks is None else _partition(daemon, card, sm_chunks)
        env = {**daemon.env, **select, **(partition.env if partition else {})}
        yield _With(card, daemon, env, partition.multiprocessors if partition else None)


@contextmanager
def released(current: Arm, frontend: int) -> Iterator[None]:
    """Where what is inside is broken off, the workers of the TorchServe with that pid leave the arm before
    they are killed: NVIDIA's MPS document warns that a client that is killed with work on the GPU can leave
    the server and its other clients, another user's of a borrowed daemon too, in an undefined state."""
    try:
        yield
    except BaseException:
        carry_through(lambda: current.release(_children(frontend)))
        raise


def obstacles(card: Gpu, workers: int, options: MpsOptions, limits: Collection[str] = ()) -> list[str]:
    """What speaks against measuring both arms on `card`, a line each; empty when nothing does. `limits`: what
    the workers will be held to, as the plan's keys name it.

    Raises NoMpsError without the control program.
    """
    control = find_control(options.control)
    daemons = {process.pid for process in processes(card) if _is_mps_server(process.pid)}
    problems = preflight(card, workers, ours=daemons if options.use_running_daemon else ())
    if options.use_running_daemon:
        problems += obstacles_of_running(card, options.control)
        if "memory_limit_mib" in limits:
            problems.append(
                "--memory-limit names the GPU by its number, which is only sure with a daemon of our own: "
                "drop --use-running-daemon"
            )
    if "sm_chunks" in limits:
        problems += _obstacles_of_partitions(card, control, options)
    return problems


def _obstacles_of_partitions(card: Gpu, control: Path, options: MpsOptions) -> Iterator[str]:
    if options.use_running_daemon:
        yield "--sm-chunks needs a daemon that is started for it: drop --use-running-daemon"
    if card.compute_capability < OLDEST_WITH_PARTITIONS:
        yield f"{card.name} is too old for static partitions, which came with Ampere: drop --sm-chunks"
    if (version(control) or 0) < FIRST_WITH_PARTITIONS:
        yield too_old(control)


def _partition(daemon: MpsDaemon, card: Gpu, chunks: int) -> Partition:
    try:
        return daemon.partitions.add(card.uuid, chunks)
    except UsageError as error:  # of this cell alone: others may ask for less
        raise MpsError(str(error)) from error


class _Without:
    """Workers that can't find a daemon: their pipe folder is an empty one of ours."""

    def __init__(self, card: Gpu | None, nowhere: Path) -> None:
        self._card = card
        self._nowhere = nowhere

    @property
    def env(self) -> Mapping[str, str]:
        if self._card is None:  # a GPU that is there stays out of it; TorchServe stumbles over a UUID in it
            return {"CUDA_VISIBLE_DEVICES": ""}
        return {PIPE_VARIABLE: str(self._nowhere), **_select(self._card)}

    @property
    def multiprocessors(self) -> int | None:
        return None

    def clients(self, workers: Collection[int]) -> list[int]:
        if self._card is None:
            return []
        through_mps = {process.pid for process in processes(self._card) if process.through_mps}
        return sorted(through_mps.intersection(workers))

    def problems(self, workers: Collection[int]) -> list[str]:
        if self._card is None:
            return []
        found = [f"worker {pid} uses MPS in the arm without it" for pid in self.clients(workers)]
        strayed = [pid for pid in workers if not _has_environment(pid, self.env)]
        found += [f"worker {pid} does not have the environment of the arm without MPS" for pid in strayed]
        if running_daemon(self._nowhere) is not None:
            found.append(f"an MPS daemon listens at {self._nowhere}, in the arm without it")
        return found

    def release(self, workers: Collection[int]) -> None:
        """Who is in no MPS may be killed at any time."""

    def check(self) -> None:
        """Nothing carries this arm."""


class _With:
    """Workers that join the daemon."""

    def __init__(
        self, card: Gpu, daemon: MpsDaemon, env: Mapping[str, str], multiprocessors: int | None = None
    ) -> None:
        self._card = card
        self._daemon = daemon
        self._env = env
        self._multiprocessors = multiprocessors

    @property
    def env(self) -> Mapping[str, str]:
        return self._env

    @property
    def multiprocessors(self) -> int | None:
        return self._multiprocessors

    def clients(self, workers: Collection[int]) -> list[int]:
        known = {client.pid for client in self._daemon.clients()}
        # NVML knows them by the host's pids, which are ours outside of containers.
        known |= {process.pid for process in processes(self._card) if process.through_mps}
        return sorted(known.intersection(workers))

    def problems(self, workers: Collection[int]) -> list[str]:
        outside = set(workers).difference(self.clients(workers))
        found = [f"worker {pid} is no client of the MPS daemon in the arm with it" for pid in sorted(outside)]
        found += [
            f"worker {client.pid} is on {client.device} by the MPS daemon, not on {self._card.uuid}"
            for client in self._daemon.clients()
            if client.pid in workers and not self._card.uuid.startswith(client.device)
        ]
        return found

    def release(self, workers: Collection[int]) -> None:
        with suppress(MpsError):
            self._daemon.terminate_clients(workers, RELEASE_TIMEOUT_S)

    def check(self) -> None:
        self._daemon.check()


def _select(card: Gpu) -> dict[str, str]:
    """The card by its number, in NVML's order: TorchServe 0.12.0 does not start where CUDA_VISIBLE_DEVICES
    holds a UUID."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(card.index)}


def _has_environment(pid: int, env: Mapping[str, str]) -> bool:
    try:
        actual = psutil.Process(pid).environ()
    except psutil.Error:
        return False
    return all(actual.get(key) == value for key, value in env.items())


def _children(pid: int) -> list[int]:
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def _is_mps_server(pid: int) -> bool:
    try:
        return psutil.Process(pid).name().startswith("nvidia-cuda-mps")
    except psutil.Error:
        return False
