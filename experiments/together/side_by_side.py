"""Servers that serve the same models side by side, of which one works at a time.

Here: starting them, and pausing those whose turn it is not, so that what one burns falls on no other.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from time import sleep

import psutil

from experiments.base.interrupts import carry_through
from experiments.servers.served import Running, Server
from experiments.serving.instances import end_processes_of
from experiments.serving.registration import Registration

AWAKE_S = 0.5  # what a server that was paused has to catch up with


@contextmanager
def side_by_side(
    servers: Sequence[Server], models: Sequence[Registration], threads: int
) -> Iterator[dict[str, Running]]:
    """All of them started with these models, each paused until its turn.

    On Ctrl-C they are killed: to end by themselves some take seconds.
    """
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        try:
            for server in servers:
                running[server.name] = stack.enter_context(server.start(models, threads=threads))
                pause(running[server.name])
                stack.callback(resume, running[server.name])  # what is paused can't end by itself
            yield running
        except KeyboardInterrupt:
            carry_through(lambda: end_processes_of(*(each.folder for each in running.values())))
            raise


@contextmanager
def at_work(server: Running) -> Iterator[None]:
    """Its turn."""
    resume(server)
    try:
        sleep(AWAKE_S)
        yield
    finally:
        pause(server)


def pause(server: Running) -> None:
    """Stops all its processes, the first one first, so that none is taken for dead by another."""
    for process in server.family():
        with suppress(psutil.Error):
            process.suspend()


def resume(server: Running) -> None:
    """Lets them go on, the last one first."""
    for process in reversed(server.family()):
        with suppress(psutil.Error):
            process.resume()
