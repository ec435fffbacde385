"""What servers leave behind that were started with a temporary folder of their own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from experiments.serving.instances import SHARED_MEMORY


def left_in(folder: Path, instance: str) -> list[str]:
    """What servers have left that were started with `folder` as TMPDIR: files, processes, shared memory that
    bears the name of the instance's folder."""
    files = [str(path) for path in folder.iterdir()]
    shared = [str(path) for path in SHARED_MEMORY.glob(f"{instance}*")]
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(f"{folder}/"):
                processes.append(" ".join(process.cmdline()) or process.name())
    return files + processes + shared


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of this machine."""
    listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return port not in {each.laddr.port for each in listening if each.laddr}
