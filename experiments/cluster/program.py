"""A card's program, started and talked to by whoever is on its machine: a task of Ray, or a test."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from experiments.base.paths import ROOT
from experiments.cluster.messages import Equip, Event, Lost, Measure

STOP_TIMEOUT_S = 30.0  # a TorchServe with its workers is stopped meanwhile


class CardProgram:
    """A running card program, on these cores alone; close() stops it with its servers.

    Where this process is killed, the program ends by itself, as its pipe does.
    """

    def __init__(self, cores: Collection[int], device: str) -> None:
        self._connection, theirs = Pipe()
        self._process = _started(cores, theirs, device)
        theirs.close()
        self._sending = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, asked: Equip | Measure) -> None:
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


def _started(cores: Collection[int], theirs: Connection, device: str) -> "subprocess.Popen[bytes]":
    """What is started by a thread keeps to that thread's cores: so does every thread and child of it."""
    command: Sequence[str] = [sys.executable, "-m", f"{__package__}.card_program"]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        return subprocess.Popen(
            [*command, str(theirs.fileno()), device],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C reaches the driver, which tells it to stop
        )
    finally:
        os.sched_setaffinity(0, before)
