"""The life of NVIDIA's MPS control daemon, and what it can be told and asked.

`mps_daemon()` runs one in folders of its own and always ends it; `use_running` borrows one that is there.
Knows the program's quirks, found with versions 535 and in NVIDIA's MPS document. Who its clients are and
what the GPU is like lives elsewhere.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.interrupts import carry_through, interrupts_held_back

CONTROL = "nvidia-cuda-mps-control"
PIPE_VARIABLE = "CUDA_MPS_PIPE_DIRECTORY"
LOG_VARIABLE = "CUDA_MPS_LOG_DIRECTORY"
DEFAULT_PIPE_FOLDER = Path("/tmp/nvidia-mps")  # noqa: S108 - NVIDIA's choice, not ours
DEFAULT_LOG_FOLDER = Path("/var/log/nvidia-mps")
START_TIMEOUT_S = 20.0
SERVER_TIMEOUT_S = 60.0  # a server creates its context first, on a card that may have to wake up
ANSWER_TIMEOUT_S = 10.0
QUIT_TIMEOUT_S = 8.0
KILL_TIMEOUT_S = 5.0
SERVERS_GRACE_S = 4  # after this `quit` has the servers end though they have clients
LONGEST_SOCKET_PATH = 106  # bytes; found by trying: one less than Linux itself takes
LOG_TAIL_LINES = 25

# The owner is in the name, so that no moment exists in which a folder has none.
PREFIX = "mps-"
FOLDER_NAME = re.compile(rf"{PREFIX}(\d+)-(\d+)-.+")
SERVER_EXIT = re.compile(r"\bServer (\d+) exited with status (\d+)")
SERVER_READY = re.compile(r"\bNEW SERVER (\d+): Ready")
NOT_FOUND = re.compile(r"Server( \d+)? not found")


class MpsError(ExperimentError):
    """The control daemon or a server of it failed. `details`: the end of its log."""


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


@dataclass(frozen=True, slots=True)
class Client:
    """A process that is connected to a server, as `ps` lists it. `device` is the beginning of a UUID."""

    pid: int
    server_pid: int
    device: str
    command: str


class MpsDaemon:
    """A control daemon that answers. Made by `mps_daemon()`, which also ends it unless it is borrowed.

    `env` is what the environment of its clients needs; it counts when their CUDA context is created.
    """

    def __init__(
        self,
        control: Path,
        env: dict[str, str],
        pid: int,
        process: "subprocess.Popen[bytes] | None",
    ) -> None:
        self.control = control
        self.env = env
        self.pid = pid
        self.pipe_folder = Path(env[PIPE_VARIABLE])
        self.log = Path(env[LOG_VARIABLE]) / "control.log"
        self._process = process
        self._log_read_bytes = 0 if process else _size(self.log)
        self._crashed: list[tuple[int, int]] = []
        self._ready: set[int] = set()

    def servers(self) -> list[int]:
        """The pids of the servers. One is started for the first client, and stays when clients leave."""
        return [int(line) for line in self.ask("get_server_list") if line.isdigit()]

    def start_server(self, uid: int | None = None) -> int:
        """Starts the server of a user (by default ours) without a client, and returns its pid once it is
        ready: what keeps a server from running shows here, not in the first client.

        Raises MpsError with the log when it ends at once or is not ready in SERVER_TIMEOUT_S.
        """
        self.ask(f"start_server -uid {os.getuid() if uid is None else uid}")
        deadline = time.monotonic() + SERVER_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            ready = [pid for pid in self.servers() if pid in self._ready or not os.access(self.log, os.R_OK)]
            if ready:
                return ready[0]
            time.sleep(0.02)
        raise MpsError(f"the MPS server is not ready after {SERVER_TIMEOUT_S:.0f} s", self.log_tail())

    def clients(self) -> list[Client]:
        """The connected processes of all servers. Empty where there is no server."""
        return parse_ps(self.ask("ps"))

    def clients_of(self, server_pid: int) -> list[int]:
        """The pids of one server's clients. Raises MpsError where there is no such server."""
        return [int(line) for line in self._ask_server(f"get_client_list {server_pid}") if line.isdigit()]

    def default_thread_percentage(self) -> float:
        """The share of the multiprocessors, in percent, that a client of the next server may use."""
        return self._percentage(self.ask("get_default_active_thread_percentage"))

    def set_default_thread_percentage(self, percent: float) -> None:
        """Sets that share, above 0 and up to 100, for servers started from now on."""
        self._set_percentage("set_default_active_thread_percentage", percent)

    def thread_percentage(self, server_pid: int) -> float:
        """The share for new clients of a server. Raises MpsError where there is no such server."""
        return self._percentage(self._ask_server(f"get_active_thread_percentage {server_pid}"))

    def set_thread_percentage(self, server_pid: int, percent: float) -> None:
        """Sets the share for new clients of a server; those that are connected keep theirs."""
        self._set_percentage(f"set_active_thread_percentage {server_pid}", percent)

    def default_memory_limit(self, device: int) -> str | None:
        """The pinned device memory limit of the next servers' clients: '2G', '500M'; None for no limit.

        The daemon prints whole gibibytes from one on: a limit of 1500 MiB reads '1G'.
        """
        return "".join(self.ask(f"get_default_device_pinned_mem_limit {device}")) or None

    def set_default_memory_limit(self, device: int, mebibytes: int) -> None:
        """Sets that limit for servers started from now on. 0 removes it.

        Raises UsageError for a device that the daemon does not know: it ignores those in silence.
        """
        self._refuse_if_borrowed()
        if mebibytes < 0:
            raise UsageError(f"a memory limit is 0 (none) or more mebibytes, not {mebibytes}")
        # Always with the M: the daemon reads any other unit, even none, as M or G without a word.
        self.ask(f"set_default_device_pinned_mem_limit {device} {mebibytes}M")
        expected = f"{mebibytes // 1024}G" if mebibytes >= 1024 else f"{mebibytes}M" if mebibytes else None
        if (now := self.default_memory_limit(device)) != expected:
            raise UsageError(f"the MPS daemon did not take a memory limit for device {device}: it is {now}")

    def check(self) -> None:
        """Raises MpsError, with the end of the log, once the daemon or a server of it has crashed.

        Costs a file's size and a waitpid: call it between trials, or every second during one.
        """
        self._read_log()
        if self._process is not None and (code := self._process.poll()) is not None:
            raise MpsError(
                f"the MPS control daemon (pid {self.pid}) {_ended(code)}: its clients have lost the GPU; "
                "its last lines are above",
                self.log_tail(),
            )
        if self._process is None and not (self.pid and psutil.pid_exists(self.pid)) and not self._listens():
            raise MpsError(f"the MPS control daemon of {self.pipe_folder} is gone", self.log_tail())
        if self._crashed:
            pid, status = self._crashed[0]
            raise MpsError(
                f"the MPS server (pid {pid}) ended by itself, with status {status}: see the log above, and "
                "`nvidia-smi` and the kernel's log (`dmesg | grep Xid`) for a fault of the GPU",
                self.log_tail(),
            )

    def log_tail(self) -> str:
        """The last lines of the daemon's log; a daemon of ours writes its servers' lines there too."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        return ""

    def ask(self, command: str) -> list[str]:
        """The lines that the daemon answers to a command of its manual page.

        Raises MpsError where it does not know the command (it ends with 0 even so) or does not answer.
        """
        try:
            done = _talk(self.control, self.pipe_folder, command, ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise MpsError(
                f"the MPS control daemon (pid {self.pid}) does not answer `{command}` in "
                f"{ANSWER_TIMEOUT_S:.0f} s",
                self.log_tail(),
            ) from error
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if done.returncode != 0:
            self.check()
            raise MpsError(f"`{command}` failed: {(done.stderr.strip() or done.stdout.strip())!r}")
        if said and said[0].startswith("Unknown command"):
            raise MpsError(f"this version of {CONTROL} does not know `{command}`")
        return said

    def _ask_server(self, command: str) -> list[str]:
        said = self.ask(command)
        if said and NOT_FOUND.match(said[0]):
            raise MpsError(f"`{command}`: there is no such MPS server")
        return said

    def _percentage(self, said: list[str]) -> float:
        try:
            return float(said[0])
        except (IndexError, ValueError) as error:
            raise MpsError(f"the MPS daemon answered {said} where a percentage was asked for") from error

    def _set_percentage(self, command: str, percent: float) -> None:
        self._refuse_if_borrowed()
        if not 0 < percent <= 100:
            raise UsageError(f"a thread percentage is above 0 and up to 100, not {percent:g}")
        now = self._percentage(self._ask_server(f"{command} {percent:g}"))
        # It prints one digit after the point, and of a value that it refuses the one that still holds.
        if abs(now - percent) > 0.051:
            raise MpsError(f"the MPS daemon did not take {percent:g} %: it is at {now:g} %")

    def _refuse_if_borrowed(self) -> None:
        if self._process is None:
            raise UsageError(
                f"the MPS daemon of {self.pipe_folder} is not ours, so its settings stay: drop "
                "--use-running-daemon, or let its owner change them"
            )

    def _read_log(self) -> None:
        """Notes what the log says of servers since the last time."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(self._log_read_bytes)
            new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._log_read_bytes += len(whole)
            text = whole.decode(errors="replace")
            self._ready |= {int(pid) for pid in SERVER_READY.findall(text)}
            exits = [(int(pid), int(status)) for pid, status in SERVER_EXIT.findall(text)]
            # Killed by a signal reads as status 0. A borrowed daemon also ends a server, with 0, to make
            # room for another user's; ours has no other users.
            self._crashed += [(pid, status) for pid, status in exits if status or self._process]

    def _listens(self) -> bool:
        return running_daemon(self.pipe_folder) is not None


@contextmanager
def mps_daemon(
    *, binary: Path | None = None, use_running: bool = False, device: str | None = None
) -> Iterator[MpsDaemon]:
    """A control daemon of our own, ended at the end with its servers; no file or process of it is left.

    `binary` is nvidia-cuda-mps-control, by default the one on PATH. `device` limits daemon and clients (by
    its `env`) to the GPU with that UUID. `use_running` borrows the daemon that is there and leaves it.

    Raises NoMpsError without the program, DaemonRunningError where one runs already that is not to be used,
    UsageError where there is none to use or the temporary folder's path is too long, MpsError where it does
    not come up.
    """
    control = find_control(binary)
    there = running_daemon()
    if use_running:
        yield _borrowed(control, there, device)
        return
    if there is not None:
        raise DaemonRunningError(
            f"an MPS control daemon runs already: {_named(there)}; use it with --use-running-daemon, or end "
            f"it: echo quit | {PIPE_VARIABLE}={there.pipe_folder} {CONTROL}"
        )
    remove_leftovers()
    folder = _folder_of_ours()
    env = _client_environment(folder / "pipe", folder / "log", device)
    process = None
    try:
        with interrupts_held_back():
            for new in (folder, folder / "pipe", folder / "log"):
                new.mkdir(mode=0o700)
            process = _spawn(control, env)
        daemon = MpsDaemon(control, env, process.pid, process)
        _wait_until_it_answers(daemon, process)
        yield daemon
    finally:
        carry_through(lambda: _clear_up(control, folder, process))


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
    folder = pipe_folder or Path(os.environ.get(PIPE_VARIABLE) or DEFAULT_PIPE_FOLDER)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        try:
            asking.connect(str(folder / "control"))
        except OSError:  # no socket, a stale one, or a folder that is closed to us and so to our clients
            return None
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return RunningDaemon(pid, _user(uid), folder)


def remove_leftovers() -> list[Path]:
    """Ends the daemons and removes the folders of runs that were killed; returns those folders."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        named = FOLDER_NAME.fullmatch(folder.name)
        with suppress(OSError):
            if not named or folder.lstat().st_uid != os.getuid():
                continue
            if _start_ticks(int(named[1])) == int(named[2]):
                continue
            _kill_all(folder / "pipe")
            if running_daemon(folder / "pipe") is None:  # else it lives in a container that shares /tmp
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def parse_ps(lines: list[str]) -> list[Client]:
    """The clients in the answer to `ps`: a heading, then a line each; 'Server not found' without a server.

    Columns: PID, ID, SERVER, DEVICE, NAMESPACE, COMMAND and, in some versions, ATTRIBUTES.
    """
    clients = []
    for line in lines:
        words = line.split()
        if len(words) >= 5 and words[0].isdigit() and words[2].isdigit():
            clients.append(Client(int(words[0]), int(words[2]), words[3], " ".join(words[5:])))
    return clients


def _borrowed(control: Path, there: RunningDaemon | None, device: str | None) -> MpsDaemon:
    if there is None:
        folder = os.environ.get(PIPE_VARIABLE) or DEFAULT_PIPE_FOLDER
        raise UsageError(
            f"no MPS control daemon runs at {folder}: start one (`{CONTROL} -d`), set {PIPE_VARIABLE} to its "
            "folder, or drop --use-running-daemon and one is started"
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
    name = f"{PREFIX}{owner}-{_start_ticks(owner)}-{secrets.token_hex(4)}"
    folder = Path(tempfile.gettempdir()) / name
    length = len(os.fsencode(folder / "pipe" / "control_privileged"))
    if length > LONGEST_SOCKET_PATH:
        raise UsageError(
            f"the temporary folder's path is too long for the sockets of MPS ({length} bytes with theirs, "
            f"{LONGEST_SOCKET_PATH} are allowed): set TMPDIR to a shorter one, e.g. TMPDIR=/tmp"
        )
    return folder


def _spawn(control: Path, client_env: dict[str, str]) -> "subprocess.Popen[bytes]":
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
                [control, "-f"],
                env=env | client_env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us, and we end it
            )
        except OSError as error:
            raise MpsError(f"{control} can't be run: {error.strerror}") from error


def _wait_until_it_answers(daemon: MpsDaemon, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            log = daemon.log_tail()
            cause = log.splitlines()[-1] if log else "it printed no reason"
            raise MpsError(f"the MPS control daemon {_ended(code)} at its start: {cause}", log)
        if (daemon.pipe_folder / "control").exists():
            with suppress(MpsError):
                daemon.ask("get_server_list")
                return
        time.sleep(0.002)
    raise MpsError(f"the MPS control daemon is not up after {START_TIMEOUT_S:.0f} s", daemon.log_tail())


def _clear_up(control: Path, folder: Path, process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        _stop(control, folder / "pipe", process)
    shutil.rmtree(folder, ignore_errors=True)


def _stop(control: Path, pipe_folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Asks it to quit, then kills what is left of it. A server that hangs can make `quit` wait for ever."""
    if process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            # Ends with code 1 if any server ever ended badly; the daemon is gone even so.
            _talk(control, pipe_folder, f"quit -t {SERVERS_GRACE_S}", QUIT_TIMEOUT_S)
            process.wait(timeout=1)
    if process.poll() is None:
        process.kill()
        process.wait()
    _kill_all(pipe_folder)


def _talk(
    control: Path, pipe_folder: Path, command: str, timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [control],
        input=f"{command}\n",
        env=os.environ | {PIPE_VARIABLE: str(pipe_folder)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        start_new_session=True,
    )


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
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    return True


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: a later one with its pid has another. None: gone."""
    with suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else int(fields[18])
    return None


def _named(there: RunningDaemon) -> str:
    return f"pid {there.pid or 'of another container'}, user {there.user}, pipe folder {there.pipe_folder}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
