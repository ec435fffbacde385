"""A function called for many things, each in a fork of this process that ends with what it returns."""

import gc
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

POLL_S = 0.005
FAILED = 70  # the exit code where the function raises

T = TypeVar("T")


@dataclass(frozen=True)
class _Fork(Generic[T]):
    item: T
    pid: int
    ends_s: float


def each_forked(
    items: Iterable[T], call: Callable[[T], int], jobs: int, limit_s: float
) -> Iterator[tuple[T, int]]:
    """Each item with its exit code, in the order in which they end, negative for a signal's; whatever takes
    longer than `limit_s` is ended by one."""
    waiting = iter(items)
    running: list[_Fork[T]] = []
    while True:
        while len(running) < jobs and (following := next(waiting, None)) is not None:
            running.append(_Fork(following, _forked(call, following), time.monotonic() + limit_s))
        if not running:
            return
        for fork in list(running):
            if (code := _ended(fork)) is not None:
                running.remove(fork)
                yield fork.item, code
        time.sleep(POLL_S)


def _forked(call: Callable[[T], int], item: T) -> int:
    gc.collect()
    gc.freeze()  # a fork's collector need not copy what is there already
    if pid := os.fork():
        return pid
    code = FAILED
    try:
        os.setsid()
        code = call(item)
    finally:
        os._exit(code)


def _ended(fork: _Fork[T]) -> int | None:
    """The exit code; None while it runs."""
    pid, status = os.waitpid(fork.pid, os.WNOHANG)
    if pid:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() > fork.ends_s:
        try:
            os.killpg(fork.pid, signal.SIGKILL)
        except ProcessLookupError:  # it isn't the leader of a group yet
            os.kill(fork.pid, signal.SIGKILL)
    return None
