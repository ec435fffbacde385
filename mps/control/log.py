"""The log of a control daemon and its servers: which servers got ready, which ended, what was said last."""

import os
import re
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 25

SERVER_EXIT = re.compile(r"\bServer (\d+) exited with status (\d+)")
SERVER_READY = re.compile(r"\bNEW SERVER (\d+): Ready")

# What a question of ours leaves in the log. One a second would push out what the log is read for.
QUESTION = re.compile(
    r"\] (?:Accepting connection\.\.\.|NEW UI|UI closed|Cmd:get_server_(?:status \d+|list)|ACTIVE)$"
)


class ControlLog:
    """The log file of a daemon, read as it grows. `ours`: whether the daemon was started by us.

    The log of a borrowed daemon is read from its present end on, and may be closed to us.
    """

    def __init__(self, path: Path, *, ours: bool) -> None:
        self.path = path
        self.ready: set[int] = set()
        self.crashed: list[tuple[int, int]] = []  # pid and status, of servers that ended by themselves
        self._ours = ours
        self._read_bytes = 0 if ours else _size(path)

    @property
    def readable(self) -> bool:
        """Whether we may know what it says."""
        return os.access(self.path, os.R_OK)

    def read(self) -> None:
        """Notes what the log says of servers since the last time."""
        with suppress(OSError), self.path.open("rb") as log:
            log.seek(self._read_bytes)
            new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read_bytes += len(whole)
            text = whole.decode(errors="replace")
            exits = [(int(pid), int(status)) for pid, status in SERVER_EXIT.findall(text)]
            self.ready |= {int(pid) for pid in SERVER_READY.findall(text)}
            self.ready -= {pid for pid, _ in exits}
            # Killed by a signal reads as status 0. A borrowed daemon also ends a server, with 0, to make
            # room for another user's; ours has no other users.
            self.crashed += [(pid, status) for pid, status in exits if status or self._ours]

    def tail(self) -> str:
        """Its last lines but for those of our own questions; empty where it is closed to us."""
        with suppress(OSError):
            lines = self.path.read_text("utf-8", errors="replace").splitlines()
            return "\n".join([line for line in lines if not QUESTION.search(line)][-TAIL_LINES:])
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
