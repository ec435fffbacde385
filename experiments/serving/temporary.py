"""Temporary folders that are our own, and whether TorchServe can work in them."""

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from experiments.base.errors import UsageError

LONGEST_SOCKET = 107  # bytes of the path of a Unix socket, which the workers' are
SOCKET = "/.ts.sock.65535"
LEAST_BYTES = 64 * 2**20  # logs, Java's and torch's own files; archives come to that
REMEDY = "set TMPDIR to another folder, e.g. TMPDIR=/var/tmp"


def temporary_folder(name: str, need_bytes: int = LEAST_BYTES) -> Path:
    """Where temporary files go, after a look whether a server can work in a folder `name` there.

    Raises UsageError where TMPDIR is not there or can't be written, which Python would pass over in silence,
    where the path would be too long for the workers' sockets, or less than `need_bytes` are free.
    """
    asked = os.environ.get("TMPDIR")
    try:
        with tempfile.TemporaryFile(dir=asked or None):
            folder = Path(asked or tempfile.gettempdir())
    except OSError as error:
        what = f"TMPDIR {asked}" if asked else "the temporary folder"
        raise UsageError(f"can't write to {what} ({error.strerror}): {REMEDY}") from error
    longest = len(os.fsencode(folder)) + len(f"/{name}{SOCKET}")
    if longest > LONGEST_SOCKET:
        raise UsageError(
            f"the temporary folder {folder} is {longest - LONGEST_SOCKET} characters too long for the "
            f"sockets of TorchServe's workers: {REMEDY}"
        )
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise UsageError(
            f"the temporary folder {folder} has {free / 2**20:.0f} MiB free, "
            f"{need_bytes / 2**20:.0f} are needed: {REMEDY}"
        )
    return folder


def private_folder(name: str, need_bytes: int = LEAST_BYTES) -> Path:
    """The folder `name` and our user id below the temporary one, for ourselves alone: mode 0700.

    The same in every call, so that a server can be found again. Raises UsageError where somebody else was
    first, and what `temporary_folder` raises.
    """
    mine = f"{name}-{os.getuid()}"
    folder = temporary_folder(mine, need_bytes) / mine
    with suppress(FileExistsError):  # looked at below, and not followed where it is a link
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"{folder} is not a folder of your own: remove it, or {REMEDY}")
    folder.chmod(0o700)
    return folder
