"""A program of a node, a card's or one that sends loads: started and talked to by whoever is on its machine,
an actor of Ray or a test."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from experiments.base.paths import ROOT
from experiments.cluster.messages import Event, Lost

STOP_TIMEOUT_S = 30.0  # a TorchServe with its workers is stopped meanwhile


CARD, LOAD = "card_program", "load_program"


class Program:
    """A running program, one of CARD and LOAD, on these cores alone; close() stops it with its servers.

    Where this process is killed, the program ends by itself, as its pipe does.
    """

    def __init__(self, module: str, cores: Collection[int], *arguments: str) -> None:
        self._connection, theirs = Pipe()
        self._process = _started(module, cores, theirs, arguments)
        theirs.close()
        self._sending = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, asked: Any) -> None:
        """Asks it to do something. Where it is gone, `events` tells."""
        with self._sending, suppress(BrokenPipeError, OSError):
            self._connection.send(asked)

    def events(self, longest_s: float) -> list[Event]:
        """What it has told since the last call, in order; waits so long for the first."""
        found: list[Event] = []
        try:
            while self._connection.poll(0 if found else longest_s):
                found.append(self._connection.recv())
        except (EOFError, OSError):
            found.append(Lost(f"its program ended{self._how()}"))
        return found

    def close(self) -> None:
        """Shut, not closed: somebody may wait for events in another thread."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(STOP_TIMEOUT_S)
            return f" by signal {-code}" if code < 0 else f" with exit code {code}"
        return ""


def listen(connection: Connection, put: Callable[[Any], None]) -> None:
    """In the program, in a thread of its own: passes on what comes; at the end of the pipe the main thread is
    interrupted, whatever it does."""
    with suppress(EOFError, OSError):
        while True:
            put(connection.recv())
    os.kill(os.getpid(), signal.SIGINT)


def _started(
    module: str, cores: Collection[int], theirs: Connection, arguments: Collection[str]
) -> "subprocess.Popen[bytes]":
    """What is started by a thread keeps to that thread's cores: so does every thread and child of it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.{module}", str(theirs.fileno()), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C reaches the driver, which tells it to stop
        )
    finally:
        os.sched_setaffinity(0, before)
