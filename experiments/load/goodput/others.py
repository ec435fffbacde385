"""What other programs do on this machine during a load: neither the generator nor the server.

For loads of several models, and from the command line, which knows no more of the server than its URL. In a
sweep the server's processes are watched ten times a second: experiments/watch/.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Self

import psutil

from experiments.base.cores import allowed_cores
from experiments.load.before.target import parse_target
from experiments.load.result import LoadResult

MOST_OTHER_CPU = 0.1  # share of the usable cores that programs which are no part of a load may use
MOST_TAKES = 3  # of what they disturbed
SHORTEST_S = 0.5  # the kernel counts CPU time in hundredths of a second


def too_busy(other_cores: float | None, cores: int) -> str | None:
    """What other programs took of the cores, in words; None where it is little, or not known."""
    if other_cores is None or other_cores <= MOST_OTHER_CPU * cores:
        return None
    return f"other programs used {other_cores:.2f} of {cores} cores"


@dataclass(slots=True)
class Others:
    """Counts what other programs use while a load runs: the whole of what is inside `counted()`.

    `server` tells the processes of what is loaded, None where they may not be seen. `cores` is what the
    others used of the cores in the last of these; None where that isn't known, or it was too short to tell.
    """

    server: Callable[[], Sequence[psutil.Process] | None]
    cores: float | None = None

    @classmethod
    def than_of(cls, url: str) -> Self:
        """Than those of the server at a URL; of one on this machine that is who listens there, with what it
        has started."""
        return cls(partial(_family_at, url))

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

    def told(self, result: LoadResult | None = None) -> str | None:
        """What they did during the load that has just ended, in words, where it was much."""
        return too_busy(self.cores, allowed_cores())

    def _read(self) -> _Reading | None:
        """None where the server's processes can't be known."""
        with suppress(psutil.Error, OSError):
            if (server := self.server()) is not None:
                return _Reading(monotonic(), _machine_s(), _ours_s(server))
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """CPU seconds at an instant: of the cores that may be used, and of each process of the load."""

    at_s: float
    machine_s: float
    ours_s: dict[int, float]


def _family_at(url: str) -> list[psutil.Process] | None:
    target = parse_target(url)
    listening = _listening(target.host, target.port)
    if None in listening:
        return None
    found = []
    for process in (psutil.Process(pid) for pid in listening if pid):
        found += [process, *process.children(recursive=True)]
    return found


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


def _ours_s(server: Sequence[psutil.Process]) -> dict[int, float]:
    """Of this process with its children that have ended, and of the server's."""
    own = psutil.Process()
    times = own.cpu_times()
    found = {own.pid: sum(times[:4])}
    for each in server:
        with suppress(psutil.NoSuchProcess):
            found.setdefault(each.pid, sum(each.cpu_times()[:2]))
    return found
