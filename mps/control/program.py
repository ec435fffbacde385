"""NVIDIA's control program: its names, where it is, who listens already, and a command said to it.

Knows the program's quirks together with daemon.py and life.py, found with versions 535 and in NVIDIA's MPS
document.
"""

import os
import pwd
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError

CONTROL = "nvidia-cuda-mps-control"
PIPE_VARIABLE = "CUDA_MPS_PIPE_DIRECTORY"
LOG_VARIABLE = "CUDA_MPS_LOG_DIRECTORY"
DEFAULT_PIPE_FOLDER = Path("/tmp/nvidia-mps")  # noqa: S108 - NVIDIA's choice, not ours
ROOTS_PIPE_FOLDER = Path("/run/nvidia-mps")  # root's daemons of protocol 3
DEFAULT_LOG_FOLDER = Path("/var/log/nvidia-mps")


class MpsError(ExperimentError):
    """The control daemon or a server of it failed. `details`: the end of its log."""


class DaemonKilledError(MpsError):
    """A signal ended the control daemon: something else killed it, and it may live the next time."""


class NoMpsError(UsageError):
    """nvidia-cuda-mps-control is not on this machine."""


class DaemonRunningError(UsageError):
    """A control daemon runs already that was not started here."""


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A daemon that listens at `pipe_folder`. `pid` is 0 where it lives in another pid namespace."""

    pid: int
    user: str
    pipe_folder: Path

    def __str__(self) -> str:
        where = self.pid or "of another container"
        return f"pid {where}, user {self.user}, pipe folder {self.pipe_folder}"


def find_control(binary: Path | None = None) -> Path:
    """The control program: `binary`, else the one on PATH. Raises NoMpsError where it is missing."""
    found = shutil.which(binary or CONTROL)
    if found is None:
        raise NoMpsError(
            f"no {binary or CONTROL} here: it comes with NVIDIA's driver (Debian: nvidia-cuda-mps, Ubuntu: "
            "nvidia-compute-utils-<version>); without it, go on without --with-mps"
        )
    return Path(found).resolve()


def running_daemon(pipe_folder: Path | None = None) -> RunningDaemon | None:
    """The daemon that listens at a pipe folder, None where none does; nothing is asked of it.

    By default the folder is the one that CUDA programs started from here would use.
    """
    if folder := pipe_folder or os.environ.get(PIPE_VARIABLE):
        return _listening_at(Path(folder))
    return _listening_at(DEFAULT_PIPE_FOLDER) or _listening_at(ROOTS_PIPE_FOLDER)


def _listening_at(folder: Path) -> RunningDaemon | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        try:
            asking.connect(str(folder / "control"))
        except OSError:  # no socket, a stale one, or a folder that is closed to us and so to our clients
            return None
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return RunningDaemon(pid, _user(uid), folder)


def talk(
    control: Path, pipe_folder: Path, command: str, timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Says a command to the daemon of a pipe folder, as the program itself does. The user's own settings of
    MPS stay out: one of them chooses another protocol.

    Raises subprocess.TimeoutExpired where it does not answer.
    """
    return subprocess.run(
        [control],
        input=f"{command}\n",
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("CUDA_MPS_")},
            PIPE_VARIABLE: str(pipe_folder),
        },
        capture_output=True,
        text=True,
        timeout=timeout_s,
        start_new_session=True,
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
