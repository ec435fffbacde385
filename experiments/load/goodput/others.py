"""What other programs do on this machine while a URL is loaded: neither the generator nor the URL's server.

For loads from the command line, which know no more of the server than its URL. In a sweep the server's
processes are known, and watched ten times a second: experiments/watch/.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

import psutil

from experiments.base.cores import allowed_cores
from experiments.load.before.target import parse_target
from experiments.load.result import LoadResult

MOST_OTHER_CPU = 0.1  # share of the usable cores that programs which are no part of a load may use
SHORTEST_S = 0.5  # the kernel counts CPU time in hundredths of a second


def too_busy(other_cores: float | None, cores: int, most: float = MOST_OTHER_CPU) -> str | None:
    """What other programs took of the cores, in words; None where it is little, or not known."""
    if other_cores is None or other_cores <= most * cores:
        return None
    return f"other programs used {other_cores:.2f} of {cores} cores"


@dataclass(slots=True)
class Others:
    """Counts what other programs use while a load on `url` runs: the whole of what is inside `counted()`.

    `cores` is what they used of the cores in the last of these; None where that isn't known, as the server is
    on this machine and its processes may not be seen, or where it was too short to tell.
    """

    url: str
    cores: float | None = None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Compares the CPU time of the machine with that of the load's processes, before and after."""
        self.cores = None
        before = self._read()
        yield
        after = self._read()
        if before is not None and after is not None and after.at_s - before.at_s >= SHORTEST_S:
            ours_s = sum(used - before.ours_s.get(pid, 0.0) for pid, used in after.ours_s.items())
            others_s = after.machine_s - before.machine_s - ours_s
            self.cores = max(0.0, others_s / (after.at_s - before.at_s))

    def told(self, result: LoadResult) -> str | None:
        """What they did during the load that has just ended, in words, where it was much."""
        return too_busy(self.cores, allowed_cores())

    def _read(self) -> _Reading | None:
        """None where the server's processes can't be known."""
        target = parse_target(self.url)
        with suppress(psutil.Error, OSError):
            listening = _listening(target.host, target.port)
            if None not in listening:
                return _Reading(monotonic(), _machine_s(), _ours_s([pid for pid in listening if pid]))
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """CPU seconds at an instant: of the cores that may be used, and of each process of the load."""

    at_s: float
    machine_s: float
    ours_s: dict[int, float]


def _listening(host: str, port: int) -> set[int | None]:
    """Who listens at a port of this machine; empty where the host is another one. None: somebody unknown."""
    here = {each.address.split("%")[0] for known in psutil.net_if_addrs().values() for each in known}
    if not here & {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}:
        return set()
    found = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    }
    return found or {None}


def _machine_s() -> float:
    """What a hypervisor took away counts too: it is somebody else's."""
    cores = psutil.cpu_times(percpu=True)
    used = ("user", "nice", "system", "irq", "softirq", "steal")
    allowed = psutil.Process().cpu_affinity() or range(len(cores))
    return sum(float(getattr(cores[core], kind)) for core in allowed if core < len(cores) for kind in used)


def _ours_s(servers: list[int]) -> dict[int, float]:
    """Of this process with its children that have ended, and of the servers' families."""
    own = psutil.Process()
    times = own.cpu_times()
    found = {own.pid: sum(times[:4])}
    for server in map(psutil.Process, servers):
        for each in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found.setdefault(each.pid, sum(each.cpu_times()[:2]))
    return found
