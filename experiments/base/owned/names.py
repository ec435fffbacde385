"""Names that hold a process: its pid, and when it started, which a later process with that pid did not."""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

PID_NAMESPACE = Path("/proc/self/ns/pid")


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: a later one with its pid has another. None: gone."""
    with suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return None if state == "Z" else int(fields[18])
    return None


def new_name(prefix: str) -> str:
    """A name that nothing has yet, of this process."""
    pid = os.getpid()
    return f"{prefix}{_namespace()}-{pid}-{start_ticks(pid)}-{secrets.token_hex(4)}"


def owner_in(name: str, prefix: str) -> int | None:
    """The pid of the process that a name of `new_name` holds, while it lives; None once it is gone.

    Raises ValueError for another name, and where the process can't be seen from here: it is in a container,
    say, that shares our temporary folder.
    """
    found = re.match(rf"{re.escape(prefix)}(\d+)-(\d+)-(\d+)-[0-9a-f]{{8}}", name)
    if not found or int(found[1]) != _namespace():
        raise ValueError(f"{name} tells no process that is seen from here")
    return int(found[2]) if start_ticks(int(found[2])) == int(found[3]) else None


def those_of_the_dead(prefix: str) -> list[Path]:
    """What our user's dead processes have left in the temporary folder under such names."""
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError, ValueError):
            if path.lstat().st_uid == os.getuid() and owner_in(path.name, prefix) is None:
                found.append(path)
    return found


def _namespace() -> int:
    """Of the pids that we see; 0 where there are no namespaces."""
    with suppress(OSError):
        return PID_NAMESPACE.stat().st_ino
    return 0
