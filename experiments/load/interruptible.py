"""Run a coroutine so that signals stop it cleanly: first it cleans up, then the program's own handlers run.

A handler that raises inside a callback of the event loop would be swallowed there, sockets would stay open.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")
LOOP_DESCRIPTORS = 12  # 7 were enough when tried


def run_interruptibly(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in an event loop of its own and return what it returns.

    In the main thread, SIGINT and every signal with a Python handler cancel it; then the handler runs, and
    where that doesn't raise, KeyboardInterrupt does. Raises OSError where too many files are open.
    """
    received: list[int] = []
    over = False

    def cancel_all() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if not over:
            loop.call_soon_threadsafe(cancel_all)

    runner = asyncio.Runner(loop_factory=new_event_loop)
    try:
        loop = runner.get_loop()
    except BaseException:
        main.close()
        raise
    # Until the loop is closed: it runs once more for that, and swallows what a handler raises then.
    with _handlers_replaced(note), suppress(asyncio.CancelledError), runner:
        result = runner.run(main)
        over = True
    for number in received:
        handler = signal.getsignal(number)
        assert callable(handler)
        handler(number, None)
    if received:
        raise KeyboardInterrupt
    return result


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop, for asyncio.Runner. Raises OSError where too many files are open for one: uvloop then
    aborts the program, or leaves a loop that neither runs nor closes."""
    with ExitStack() as held:
        for _ in range(LOOP_DESCRIPTORS):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
    return uvloop.new_event_loop()


@contextmanager
def _handlers_replaced(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give SIGINT and SIGTERM to `handler` where Python code handles them now (main thread only)."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {number: old for number, old in before.items() if callable(old)}
    for number in replaced:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)
