"""Ctrl-C and SIGTERM held back while something must not stop halfway, and what that needs. Nothing of MPS."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """SIGINT and SIGTERM that arrive inside take effect at the end. Keep what is inside bounded in time.

    Python runs signal handlers in the main thread alone: in another one there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: set by something other than Python, which signal.signal cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for late in arrived:
            signal.raise_signal(late)


def carry_through(clean_up: Callable[[], None]) -> None:
    """Runs a clean-up to its end though signals arrive; it must bear being run twice.

    A second Ctrl-C can hit between the first and the moment from which signals wait: it then runs anew.
    """
    try:
        with interrupts_held_back():
            clean_up()
    except KeyboardInterrupt:
        with interrupts_held_back():
            clean_up()
        raise


class Reserve:
    """Descriptors kept for a clean-up that starts programs: it works though all others are in use."""

    def __init__(self, count: int = 16) -> None:
        self._held = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]

    def release(self) -> None:
        """Gives them free; at the beginning of the clean-up, which may run twice."""
        while self._held:
            os.close(self._held.pop())
