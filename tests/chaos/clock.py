"""How far a program has come: the CPU time of all that it started, which a busy machine does not stretch."""

import os
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.stage import Stage

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S = 0.3  # for new processes; the time of the known ones is read at each call


class Clock:
    """Of the processes of a stage, from now on. What lives for less than LOOK_EVERY_S may be missing."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ticks: dict[int, tuple[str, int]] = {}  # by process: when it began, what it took so far
        self._look_at_s = 0.0
        self._begin_s = 0.0
        self._begin_s = self.cpu_s()

    def cpu_s(self) -> float:
        """Since the beginning; of the dead as long as they were seen."""
        if time.monotonic() >= self._look_at_s:
            for process in self._stage.processes():
                self._ticks.setdefault(process.pid, ("", 0))
            self._look_at_s = time.monotonic() + LOOK_EVERY_S
        for pid, (known, _) in self._ticks.items():
            with suppress(OSError):
                told = (
                    Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
                )
                if known in ("", told[19]):  # else the number is another's by now
                    self._ticks[pid] = told[19], int(told[11]) + int(told[12])
        return sum(ticks for _, ticks in self._ticks.values()) / TICKS_PER_S - self._begin_s
