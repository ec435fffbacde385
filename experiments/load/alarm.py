"""An alarm clock for the event loop, precise to tens of microseconds: a Linux timerfd.

Event loops round their own timers to milliseconds, too coarse for a schedule of thousands of requests a
second; spinning would be precise too, but take a core from the server. What is due when isn't known here.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import time
from collections.abc import Callable

_C = ctypes.CDLL(None, use_errno=True)  # os.timerfd_create came with Python 3.13
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Instant(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]


class _Setting(ctypes.Structure):
    _fields_ = [("interval", _Instant), ("value", _Instant)]


class Alarm:
    """Calls `ring` in the running event loop at the instant it was set to, and until it is set anew.

    Raises OSError where the kernel gives no timer.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._fd = _C.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer can be made")
        self._setting = _Setting()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, ring)

    def set(self, at_s: float) -> None:
        """Ring at `at_s` of `perf_counter`, at once when that has passed, never when it is infinite."""
        # All zeros would turn it off; perf_counter counts from the machine's start, so 0 has passed.
        whole_s, part_s = (0, 0.0) if at_s == math.inf else divmod(max(at_s, 1e-9), 1.0)
        self._setting.value.s = int(whole_s)
        self._setting.value.ns = int(part_s * 1e9)
        _C.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(self._setting), None)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
