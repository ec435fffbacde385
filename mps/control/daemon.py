"""A control daemon that answers: what it can be told and asked. How it comes up and ends is in life.py.

Who its clients are and what the GPU is like lives elsewhere.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from experiments.base.errors import UsageError
from mps.control.program import CONTROL, LOG_VARIABLE, PIPE_VARIABLE, MpsError, running_daemon, talk

SERVER_TIMEOUT_S = 60.0  # a server creates its context first, on a card that may have to wake up
ANSWER_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 25

SERVER_EXIT = re.compile(r"\bServer (\d+) exited with status (\d+)")
SERVER_READY = re.compile(r"\bNEW SERVER (\d+): Ready")
NOT_FOUND = re.compile(r"Server( \d+)? not found")


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

    def terminate_clients(self, pids: Collection[int], within_s: float) -> list[int]:
        """Has the servers drop those of their clients, so that they may be killed with work on the GPU;
        returns the pids of those that were dropped in `within_s`. For processes of ours only.

        Raises MpsError where the daemon does not answer in that time.
        """
        deadline = time.monotonic() + within_s
        dropped = []
        for client in parse_ps(self.ask("ps", within_s)):
            left_s = deadline - time.monotonic()
            if client.pid in pids and left_s > 0:
                said = self.ask(f"terminate_client {client.server_pid} {client.pid}", left_s)
                dropped += [client.pid] if said and said[-1] == "0" else []
        return dropped

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
                f"the MPS control daemon (pid {self.pid}) {ended(code)}: its clients have lost the GPU; "
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
            return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])
        return ""

    def ask(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S) -> list[str]:
        """The lines that the daemon answers to a command of its manual page.

        Raises MpsError where it does not know the command (it ends with 0 even so) or does not answer.
        """
        try:
            done = talk(self.control, self.pipe_folder, command, timeout_s)
        except subprocess.TimeoutExpired as error:
            raise MpsError(
                f"the MPS control daemon (pid {self.pid}) does not answer `{command}` in {timeout_s:.3g} s",
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


def ended(code: int) -> str:
    """How a process came to its end, in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


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
