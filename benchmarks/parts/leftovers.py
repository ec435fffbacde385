"""What servers leave behind that were started with a temporary folder of their own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked into, not written to


def left_in(folder: Path) -> list[str]:
    """What servers have left that were started with `folder` as TMPDIR: files, processes, shared memory."""
    names = [path.name for path in folder.iterdir()]
    files = [str(path) for path in folder.iterdir()]
    shared = [str(path) for path in SHARED_MEMORY.iterdir() if path.name.startswith("tsmps-")]
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(f"{folder}/"):
                processes.append(" ".join(process.cmdline()) or process.name())
    return files + processes + [path for path in shared if any(name in path for name in names)]


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of this machine."""
    listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return port not in {each.laddr.port for each in listening if each.laddr}
