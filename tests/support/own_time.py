"""Time as a program has it to itself: without what it waited for a core that others had."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


class OwnTime:
    """A clock that stands while one of these processes, or our own, is ready and has no core.

    Linux tells that in /proc/<pid>/schedstat. On an idle machine it is the clock on the wall.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self.begin_s = time.perf_counter()
        self.first_s = {pid: _queued_s(pid) for pid in (os.getpid(), *pids)}
        self.last_s = dict(self.first_s)

    def passed_s(self) -> float:
        """Since the start. What a process waited that has ended is known as of the call before."""
        for pid in self.last_s:
            self.last_s[pid] = max(self.last_s[pid], _queued_s(pid))
        queued_s = sum(self.last_s.values()) - sum(self.first_s.values())
        return time.perf_counter() - self.begin_s - queued_s


def ends_in_s(program: "subprocess.Popen[Any]", number: signal.Signals, others: Iterable[int] = ()) -> float:
    """How long a program takes to end after a signal; `others` are processes that it waits for."""
    clock = OwnTime([program.pid, *others])
    program.send_signal(number)
    while not os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        clock.passed_s()
        time.sleep(0.01)
    return clock.passed_s()


def _queued_s(pid: int) -> float:
    with suppress(OSError, IndexError):  # it has ended, or the kernel doesn't tell
        return int(Path(f"/proc/{pid}/schedstat").read_text("utf-8").split()[1]) / 1e9
    return 0.0
