"""What is left behind once all has ended: processes, files in TMPDIR, shared memory, sockets, half files."""

import os
import time
from contextlib import suppress
from fnmatch import fnmatch

import psutil

from tests.chaos.harms import room
from tests.chaos.stage import Stage

GRACE_S = 10.0  # a process that was killed takes a moment on a busy machine
MEANT_TO_STAY = ("matplotlib-*", "torchinductor_*", f"torchserve-{os.getuid()}")  # caches, the command's
HALF_WRITTEN = (".new", ".tmp")


def left_behind(stage: Stage) -> list[str]:
    """A line for each thing."""
    deadline = time.monotonic() + GRACE_S
    while (processes := stage.processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = [f"process {_told(each)}" for each in processes]
    names = sorted(path.name for path in stage.tmp.iterdir())
    found += [f"in TMPDIR: {name}" for name in names if not _is_meant(name)]
    found += [
        f"half-written: {path.relative_to(stage.out)}"
        for path in stage.out.rglob("*")
        if path.suffix in HALF_WRITTEN
    ]
    if stage.own_room:
        found += [f"shared memory: {name}" for name in room.shared_memory()]
        found += [f"socket: {address}" for address in room.listening()]
    return found


def _is_meant(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in MEANT_TO_STAY)


def _told(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.pid}: {' '.join(process.cmdline())[:120]}"
    return str(process.pid)
