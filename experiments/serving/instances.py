"""The private folders of our server instances, and what a killed run left behind in them.

A run that is killed with SIGKILL cannot clean up: its server lives on. Each instance folder therefore
holds the name of the run that owns it, and the next run removes the folders of dead owners, and ends what
has them as TMPDIR. The name isn't the folder's, as it is elsewhere (base/owned): that has to be short.
"""

import json
import os
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from experiments.base.errors import ExperimentError
from experiments.base.files import write_json
from experiments.base.interrupts import Reserve, carry_through, interrupts_held_back
from experiments.base.owned import new_name, owner_in

PREFIX = "tsmps-"  # short: a Unix socket's path, which lies in the folder, must fit 107 bytes
END_TIMEOUT_S = 15.0
LEAST_FILES = 256  # TorchServe's frontend alone had 53 open with one small model
SEMAPHORES = "sem.mp-"  # of Python's multiprocessing, where its processes are spawned
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked into, not written to
NAMED = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")
OWNED_AFTER_S = 60.0  # a folder of the living tells its owner at once
FOLDER_NAME = f"{PREFIX}12345678"  # as mkdtemp makes them
OWNER = "owner.json"


@contextmanager
def instance_folder() -> Iterator[Path]:
    """A new folder, mode 0700, removed at the end. Folders of runs that were killed are removed first.

    Raises ExperimentError where a server could not open as many files as it needs: it would come up, and then
    fail for a cause that it doesn't tell.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < LEAST_FILES:
        raise ExperimentError(f"{allowed} files may be open, a server needs {LEAST_FILES}: raise `ulimit -n`")
    remove_leftovers()
    folder, reserve = None, Reserve()
    try:
        with interrupts_held_back():
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # mkdtemp makes it 0700
            write_json(folder / OWNER, {"process": new_name("")})
        yield folder
    finally:
        carry_through(lambda: _clear_up(folder, reserve))


def _clear_up(folder: Path | None, reserve: Reserve) -> None:
    """Ends what lives in it too: an interrupted start may have left a server that nobody knows of."""
    reserve.release()
    if folder is not None:
        end_processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> list[Path]:
    """Ends the servers and removes the folders of runs that are gone; returns those folders."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, KeyError):
            if folder.stat().st_uid != os.getuid() or _is_owned(folder):
                continue
            end_processes_of(folder)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _is_owned(folder: Path) -> bool:
    """Whether its run lives, or may be about to write its name. Raises OSError, KeyError, and ValueError
    where the run can't be seen from here."""
    try:
        return owner_in(json.loads((folder / OWNER).read_text("utf-8"))["process"], "") is not None
    except FileNotFoundError:  # killed before it could write?
        waits_s = time.time() - folder.stat().st_mtime
        return waits_s < OWNED_AFTER_S or not NAMED.fullmatch(folder.name)


def processes_of(*folders: Path) -> list[psutil.Process]:
    """Our processes whose TMPDIR is the folder of one of these instances: the server and all that came of it,
    also those whose parent is gone, or that have left its group."""
    wanted = {b"TMPDIR=" + os.fsencode(folder) for folder in folders}
    found = []
    for pid in psutil.pids():  # most are others': a tenth of the time that psutil takes to look at each
        with suppress(psutil.Error, OSError):
            if wanted.isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                continue
            process = psutil.Process(pid)
            if process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes_of(*folders: Path) -> None:
    """Kills what `processes_of` finds, and removes the shared memory that they had, and can't remove any
    more. Returns when none is left, or after END_TIMEOUT_S."""
    deadline = time.monotonic() + END_TIMEOUT_S
    shared: set[Path] = set()
    while (family := processes_of(*folders)) and time.monotonic() < deadline:
        for process in family:
            shared |= _semaphores(process.pid)
            with suppress(psutil.Error):
                process.kill()
        wait_until_dead((process.pid for process in family), 1.0)
    named = (path for folder in folders for path in SHARED_MEMORY.glob(f"{folder.name}*"))
    for path in (*shared, *named):  # what bears the instance's name
        path.unlink(missing_ok=True)


def wait_until_dead(pids: Iterable[int], timeout_s: float) -> None:
    """Returns when none of them is alive, or after `timeout_s`.

    What is left in the process table is not waited for: where the parent has ended too, it stays until
    process 1 takes it away, and in a container that may take seconds, or not happen at all.
    """
    deadline, left = time.monotonic() + timeout_s, list(pids)
    while (left := [pid for pid in left if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)


def _semaphores(pid: int) -> set[Path]:
    """Those of Python's multiprocessing that a process has mapped. They are made under another name, which
    stays in its maps, and known by their inodes."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/maps").read_text("utf-8", errors="replace").splitlines()
        inodes = {int(line.split()[4]) for line in lines if f"{SHARED_MEMORY}/" in line}
        return {path for path in SHARED_MEMORY.glob(f"{SEMAPHORES}*") if path.stat().st_ino in inodes}
    return set()


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not just its entry in the table: one that ends has no memory any more,
    and is a zombie a little later."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.memory_info().vms > 0
    except psutil.Error:
        return False
