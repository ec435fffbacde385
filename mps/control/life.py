"""The life of a control daemon: of our own in folders of its own and always ended, or borrowed."""

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from experiments.base.errors import UsageError
from experiments.base.interrupts import Reserve, carry_through, interrupts_held_back
from experiments.base.owned import start_ticks
from mps.control.daemon import MpsDaemon, UnknownCommandError, ended
from mps.control.partitions import too_old
from mps.control.program import (
    CONTROL,
    DEFAULT_LOG_FOLDER,
    DEFAULT_PIPE_FOLDER,
    LOG_VARIABLE,
    PIPE_VARIABLE,
    DaemonRunningError,
    MpsError,
    RunningDaemon,
    find_control,
    running_daemon,
    talk,
)
from mps.control.versions import end_command, protocol

START_TIMEOUT_S = 20.0
QUIT_TIMEOUT_S = 8.0
KILL_TIMEOUT_S = 5.0
SERVERS_GRACE_S = 4  # after this `quit` has the servers end though they have clients
LONGEST_SOCKET_PATH = 106  # bytes; found by trying: one less than Linux itself takes

# 535 and 550 act as the shell when they meet a flag that they don't know, 555 says how it is used.
UNKNOWN_FLAG = re.compile(r"Cannot find MPS control daemon process|usage", re.IGNORECASE)

# The owner is in the name, so that no moment exists in which a folder has none.
PREFIX = "mps-"
FOLDER_NAME = re.compile(rf"{PREFIX}(\d+)-(\d+)-.+")


@contextmanager
def mps_daemon(
    *,
    binary: Path | None = None,
    use_running: bool = False,
    device: str | None = None,
    static_partitions: bool = False,
) -> Iterator[MpsDaemon]:
    """A control daemon of our own, ended at the end with its servers; no file or process of it is left.

    `binary` is nvidia-cuda-mps-control, by default the one on PATH. `device` limits daemon and clients (by
    its `env`) to the GPU with that UUID. `use_running` borrows the daemon that is there and leaves it.
    `static_partitions` starts it for those (see partitions.py): its clients need one each.

    Raises NoMpsError without the program, DaemonRunningError where one runs already that is not to be used,
    UsageError where there is none to use, it speaks protocol 3 or the program has no static partitions, and
    where the temporary folder's path is too long, MpsError where it does not come up.
    """
    control = find_control(binary)
    there = running_daemon()
    if use_running:
        daemon = _borrowed(control, there, device)
        if static_partitions:
            _refuse_without_partitions(daemon)
        yield daemon
        return
    if there is not None:
        spoken = protocol(there, control)
        use = "" if spoken == 3 else "use it with --use-running-daemon, or "
        raise DaemonRunningError(
            f"an MPS control daemon runs already: {there}; {use}end it: {end_command(there, spoken)}"
        )
    remove_leftovers()
    folder = _folder_of_ours()
    env = _client_environment(folder / "pipe", folder / "log", device)
    process, reserve = None, Reserve()
    try:
        with interrupts_held_back():
            for new in (folder, folder / "pipe", folder / "log"):
                new.mkdir(mode=0o700)
            process = _spawn(control, env, ["-S"] if static_partitions else [])
        daemon = MpsDaemon(control, env, process.pid, process)
        _wait_until_it_answers(daemon, process, static_partitions)
        if static_partitions:
            _refuse_without_partitions(daemon)
        yield daemon
    finally:
        carry_through(lambda: _clear_up(control, folder, process, reserve))


def remove_leftovers() -> list[Path]:
    """Ends the daemons and removes the folders of runs that were killed; returns those folders."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        named = FOLDER_NAME.fullmatch(folder.name)
        with suppress(OSError):
            if not named or folder.lstat().st_uid != os.getuid():
                continue
            if owner_of(folder) is not None:
                continue
            _kill_all(folder / "pipe")
            if running_daemon(folder / "pipe") is None:  # else it lives in a container that shares /tmp
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def owner_of(folder: Path) -> int | None:
    """The pid of the process that keeps the daemon in a folder of ours; None where that process is gone."""
    named = FOLDER_NAME.fullmatch(folder.name)
    return int(named[1]) if named and start_ticks(int(named[1])) == int(named[2]) else None


def _borrowed(control: Path, there: RunningDaemon | None, device: str | None) -> MpsDaemon:
    if there is None:
        folder = os.environ.get(PIPE_VARIABLE) or DEFAULT_PIPE_FOLDER
        raise UsageError(
            f"no MPS control daemon runs at {folder}: start one (`{CONTROL} -d`), set {PIPE_VARIABLE} to its "
            "folder, or drop --use-running-daemon and one is started"
        )
    if protocol(there, control) == 3:
        raise UsageError(
            f"the MPS control daemon at {there.pipe_folder} speaks protocol 3, which is not spoken here: "
            f"end it ({end_command(there, 3)}) and drop --use-running-daemon, or start it with -p 2"
        )
    log_folder = Path(os.environ.get(LOG_VARIABLE) or DEFAULT_LOG_FOLDER)
    return MpsDaemon(control, _client_environment(there.pipe_folder, log_folder, device), there.pid, None)


def _client_environment(pipe_folder: Path, log_folder: Path, device: str | None) -> dict[str, str]:
    """A UUID means the same card to the daemon and to its clients; an index would be counted twice."""
    env = {PIPE_VARIABLE: str(pipe_folder), LOG_VARIABLE: str(log_folder)}
    return env | ({"CUDA_VISIBLE_DEVICES": device} if device else {})


def _folder_of_ours() -> Path:
    """The name of a new folder; nothing is made yet. Too long for a socket, it is refused here: the program
    itself ends with code 1 then, and not a word."""
    owner = os.getpid()
    name = f"{PREFIX}{owner}-{start_ticks(owner)}-{secrets.token_hex(4)}"
    folder = Path(tempfile.gettempdir()) / name
    length = len(os.fsencode(folder / "pipe" / "control_privileged"))
    if length > LONGEST_SOCKET_PATH:
        raise UsageError(
            f"the temporary folder's path is too long for the sockets of MPS ({length} bytes with theirs, "
            f"{LONGEST_SOCKET_PATH} are allowed): set TMPDIR to a shorter one, e.g. TMPDIR=/tmp"
        )
    return folder


def _spawn(control: Path, client_env: dict[str, str], flags: list[str]) -> "subprocess.Popen[bytes]":
    """Starts the daemon in the foreground (-f): it is then our child, so that its end is seen at once, and
    it prints its own log and its servers' to one place. Settings of the user's own MPS stay out."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CUDA_MPS_")}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    # It looks for nvidia-cuda-mps-server on PATH, without which a server 'exited with status 1' and no more
    # is said. Debian puts that into /usr/sbin, which users do not have there.
    beside = [str(control.parent), str(control.parent.parent / "sbin")]
    env["PATH"] = os.pathsep.join([*env.get("PATH", os.defpath).split(os.pathsep), *beside])
    with (Path(client_env[LOG_VARIABLE]) / "control.log").open("wb") as log:
        try:
            return subprocess.Popen(
                [control, "-f", *flags],
                env=env | client_env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us, and we end it
            )
        except OSError as error:
            raise MpsError(f"{control} can't be run: {error.strerror}") from error


def _wait_until_it_answers(
    daemon: MpsDaemon, process: "subprocess.Popen[bytes]", static_partitions: bool
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            log = daemon.log_tail()
            if static_partitions and UNKNOWN_FLAG.search(log):
                raise UsageError(too_old(daemon.control))
            cause = log.splitlines()[-1] if log else "it printed no reason"
            raise ended(code, "", f" at its start: {cause}", log)
        if (daemon.pipe_folder / "control").exists():
            with suppress(MpsError):
                daemon.ask("get_server_list")
                return
        time.sleep(0.002)
    raise MpsError(f"the MPS control daemon is not up after {START_TIMEOUT_S:.0f} s", daemon.log_tail())


def _refuse_without_partitions(daemon: MpsDaemon) -> None:
    """Whether -S was heeded: a program that does not know it may end, or start without."""
    try:
        daemon.partitions.all()
    except UnknownCommandError as error:
        raise UsageError(too_old(daemon.control)) from error


def _clear_up(
    control: Path, folder: Path, process: "subprocess.Popen[bytes] | None", reserve: Reserve
) -> None:
    reserve.release()
    if process is not None:
        _stop(control, folder / "pipe", process)
    shutil.rmtree(folder, ignore_errors=True)


def _stop(control: Path, pipe_folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Asks it to quit, then kills what is left of it. A server that hangs can make `quit` wait for ever."""
    if process.poll() is None:
        with suppress(subprocess.TimeoutExpired, OSError):  # such as: there is no memory for the program
            # Ends with code 1 if any server ever ended badly; the daemon is gone even so.
            talk(control, pipe_folder, f"quit -t {SERVERS_GRACE_S}", QUIT_TIMEOUT_S)
            process.wait(timeout=1)
    if process.poll() is None:
        process.kill()
        process.wait()
    _kill_all(pipe_folder)


def _kill_all(pipe_folder: Path) -> None:
    """Kills the daemon and the servers of a pipe folder; returns when they are gone."""
    family = [process for process in psutil.process_iter() if _belongs_to(process, pipe_folder)]
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while not all(_gone(process.pid) for process in family) and time.monotonic() < deadline:
        time.sleep(0.002)


def _belongs_to(process: psutil.Process, pipe_folder: Path) -> bool:
    with suppress(psutil.Error):
        if process.name().startswith("nvidia-cuda-mps"):
            return process.environ().get(PIPE_VARIABLE) == str(pipe_folder)
    return False


def _gone(pid: int) -> bool:
    """Whether a killed process has let go of its sockets. One that is not our child can stay a zombie, and
    its first thread is one while others of it still end."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        return state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    return True
