"""What a load takes of this machine, held against what there is, before the first connection."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.memory import free_memory_bytes

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # IPv6 uses it too
_OWN_FILES = 32  # of a process, beside its connections: libraries, the event loop, pipes
# Measured on Linux x86-64 with Python 3.11, rounded up.
_BYTES_A_CONNECTION = 48 * 1024  # ours and the kernel's
_BYTES_A_SCHEDULED_REQUEST = 120
_BYTES_A_PROCESS = 80 * 2**20


class LimitError(ExperimentError):
    """This machine has no room for the load: wrong usage, told before anything was sent."""

    exit_code = 2


def check_limits(connections: int, scheduled: float = 0.0, processes: int = 1) -> None:
    """Raises LimitError where so many connections to one address, scheduled requests and client processes are
    more than file descriptors, local ports or memory allow."""
    processes = max(1, processes)
    files = -(-connections // processes) + _OWN_FILES + (2 * processes if processes > 1 else 0)
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = local_ports()
    if ports is not None and connections > ports:
        raise LimitError(
            f"{connections:,} connections to one address need as many local ports, and this machine has "
            f"{ports:,}: give fewer --connections"
        )
    if allowed != resource.RLIM_INFINITY and files > allowed:
        raise LimitError(
            f"{connections:,} connections need {files:,} file descriptors of a process, and {allowed:,} are "
            f"allowed: give fewer --connections, or raise `ulimit -n`"
        )
    several = processes * _BYTES_A_PROCESS if processes > 1 else 0
    needed = connections * _BYTES_A_CONNECTION + scheduled * _BYTES_A_SCHEDULED_REQUEST + several
    if needed > (free := free_memory_bytes()):
        raise LimitError(
            f"{connections:,} connections, {processes:,} processes and {scheduled:,.0f} scheduled requests "
            f"need about {needed / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} are free: ask for less"
        )


def local_ports() -> int | None:
    """The ports that connections to one address can come from; None where the system doesn't tell."""
    with suppress(OSError, ValueError):
        first, last = map(int, _PORT_RANGE.read_text(encoding="utf-8").split())
        return last - first + 1
    return None
