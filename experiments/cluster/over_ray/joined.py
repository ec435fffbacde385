"""Joining a Ray cluster as its driver, or a Ray of our own that listens on loopback alone."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any

from experiments.base.cores import usable_cores
from experiments.base.errors import ExperimentError, UsageError
from experiments.load.sources import LOOPBACK
from experiments.servers.guard import guarded
from experiments.serving.instances import instance_folder

AUTO = "auto"
MISSING = "--ray needs Ray: make setup ENGINES=ray, or pip install '.[ray]'"
REACH_S = 5.0
STORE_BYTES = 256 * 2**20  # of a Ray of our own, beside the archive
NICENESS = "RAY_worker_niceness"  # of what Ray runs: 15 unless told, it gives way to all other programs


@contextmanager
def joined(address: str, archive_bytes: int = 0) -> Iterator[ModuleType]:
    """Ray, joined to the cluster whose head is at `address`, such as 10.0.0.1:6379, of which this machine is
    a node. "auto" is the one that runs here or, where none does, one for this machine that ends at the end.

    Raises UsageError where Ray is not installed, ExperimentError where nothing can be joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(NICENESS, "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError(MISSING) from error
    try:
        if address != AUTO:
            with _as_reached(ray, *_host_and_port(address)):
                _init(ray, address=address)
            yield ray
        elif _runs_here(ray):
            yield ray
        else:
            with _own(ray, archive_bytes):
                yield ray
    finally:
        ray.shutdown()


def first_line(error: Exception) -> str:
    """Ray's messages are pages: the first line that says something tells most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _init(ray: ModuleType, **options: Any) -> None:
    """Ray's own log stays in its files, and SIGTERM stays ours."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level="critical", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ExperimentError(f"--ray {options.get('address', AUTO)}: {first_line(error)}") from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)


def _runs_here(ray: ModuleType) -> bool:
    try:
        _init(ray, address=AUTO)
    except ExperimentError as error:
        if isinstance(error.__cause__, ConnectionError):
            return False
        raise
    return True


@contextmanager
def on_loopback(ray: ModuleType) -> Iterator[None]:
    """A Ray that is started inside at LOOPBACK listens there alone: nobody else can have it do something.

    Ray takes that address for "wherever this machine can be reached", and listens on all interfaces then.
    Taken as it is said, all of Ray 2.60 keeps to it.
    """
    services = ray._private.services
    as_ray_does = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = as_ray_does


@contextmanager
def _own(ray: ModuleType, archive_bytes: int) -> Iterator[None]:
    """A Ray for this machine, in a folder that the next run removes where this one is killed."""
    with instance_folder() as folder, guarded(), on_loopback(ray):
        _init(
            ray,
            num_cpus=usable_cores(),
            include_dashboard=False,
            object_store_memory=STORE_BYTES + archive_bytes,
            _node_ip_address=LOOPBACK,
            _temp_dir=str(folder / "ray"),
        )
        yield
        ray.shutdown()


@contextmanager
def _as_reached(ray: ModuleType, host: str, port: int) -> Iterator[None]:
    """A cluster that keeps to loopback is joined there, any other as Ray does it."""
    own_address = ray._private.services.get_node_ip_address()
    loopback = _why_unreachable(own_address, port) and socket.gethostbyname(host) == LOOPBACK
    with on_loopback(ray) if loopback else nullcontext():
        yield


def _host_and_port(address: str) -> tuple[str, int]:
    """Raises ExperimentError where nothing answers: Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise UsageError(f"--ray {address}: start this on a node of the cluster, with --ray {AUTO}")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--ray is {AUTO} or the HOST:PORT of a cluster's head, not {address!r}")
    if reason := _why_unreachable(host, int(port)):
        raise ExperimentError(
            f"--ray {address}: nothing answers there ({reason}); start Ray with `ray start --head`, or check "
            "the address"
        )
    return host, int(port)


def _why_unreachable(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), REACH_S).close()
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
