"""The private folders of our server instances, and what a killed run left behind in them.

A run that is killed with SIGKILL cannot clean up: its server lives on. Each instance folder therefore
names the run that owns it and the server in it, and the next run removes the folders of dead owners.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from experiments.base.files import write_json
from experiments.base.interrupts import carry_through

PREFIX = "tsmps-"  # short: a Unix socket's path, which lies in the folder, must fit 107 bytes
FOLDER_NAME = f"{PREFIX}12345678"  # as mkdtemp makes them


@contextmanager
def instance_folder() -> Iterator[Path]:
    """A new folder, mode 0700, removed at the end. Folders of runs that were killed are removed first."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # mkdtemp makes it 0700
    _write(folder, owner=os.getpid(), server=None)
    try:
        yield folder
    finally:
        carry_through(lambda: shutil.rmtree(folder, ignore_errors=True))


def record_server(folder: Path, pid: int) -> None:
    """Notes the server's process (which leads its own group) so that a later run can end it."""
    _write(folder, owner=os.getpid(), server=pid)


def remove_leftovers() -> list[Path]:
    """Ends the servers and removes the folders of runs that are gone; returns those folders."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, KeyError):
            if folder.stat().st_uid != os.getuid():
                continue
            owner = json.loads((folder / "owner.json").read_text("utf-8"))
            if _lives(owner["owner"]):
                continue
            if owner["server"] and _lives(owner["server"]):
                os.killpg(owner["server"]["pid"], signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _write(folder: Path, owner: int, server: int | None) -> None:
    named = {"owner": _identity(owner), "server": _identity(server) if server else None}
    write_json(folder / "owner.json", named)


def _identity(pid: int) -> dict[str, float] | None:
    """A process named so that a later one with the same pid is not taken for it."""
    with suppress(psutil.NoSuchProcess):
        return {"pid": pid, "created_s": psutil.Process(pid).create_time()}
    return None


def _lives(identity: dict[str, float] | None) -> bool:
    if identity is None:
        return False
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(identity["pid"]))
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() == identity["created_s"]
    return False
