"""A control daemon that answers: what it can be told and asked. How it comes up and ends is in life.py.

Who its clients are and what the GPU is like lives elsewhere.
"""

import csv
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
from mps.control.log import ControlLog
from mps.control.partitions import Partitions
from mps.control.program import (
    CONTROL,
    LOG_VARIABLE,
    PIPE_VARIABLE,
    DaemonKilledError,
    MpsError,
    running_daemon,
    talk,
)

SERVER_TIMEOUT_S = 60.0  # a server creates its context first, on a card that may have to wake up
ANSWER_TIMEOUT_S = 10.0

FAULT = "FAULT"
NOT_FOUND = re.compile(r"Server( \d+)? not found")


class UnknownCommandError(MpsError):
    """This version of the control program does not know a command."""


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
        self.partitions = Partitions(self.ask, self._refuse_if_borrowed)
        self._process = process
        self._log = ControlLog(Path(env[LOG_VARIABLE]) / "control.log", ours=process is not None)
        self._knows_status = True

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
            ready = [pid for pid in self.servers() if pid in self._log.ready or not self._log.readable]
            if ready:
                return ready[0]
            time.sleep(0.02)
        raise MpsError(f"the MPS server is not ready after {SERVER_TIMEOUT_S:.0f} s", self.log_tail())

    def status(self, server_pid: int) -> str | None:
        """INITIALIZING, ACTIVE, or FAULT: a client's fault reached every client on its GPUs, and the server
        takes none until these have left. None from versions that do not tell, such as 535.

        Raises MpsError where there is no such server.
        """
        try:
            said = self._ask_server(f"get_server_status {server_pid}")
        except UnknownCommandError:
            self._knows_status = False
            return None
        return said[0] if said else None

    def devices(self, server_pid: int | None = None) -> list[dict[str, str]]:
        """The devices that the daemon or one of its servers has, each with what it tells of it, under its own
        headings. For drivers from 590 on; never run on one.

        Raises UnknownCommandError from older ones, MpsError where the answer is no table.
        """
        of_server = "" if server_pid is None else f" {server_pid}"
        heading, *rows = list(csv.reader(self._ask_server(f"device_query{of_server} --csv"))) or [[]]
        if not heading or any(len(row) != len(heading) for row in rows):
            raise MpsError(f"the MPS daemon's answer to `device_query` can't be read: {[heading, *rows]}")
        names = [name.strip() for name in heading]
        return [dict(zip(names, map(str.strip, row), strict=True)) for row in rows]

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

    def default_memory_limit(self, device: int | str) -> str | None:
        """The pinned device memory limit of the next servers' clients: '2G', '500M'; None for no limit.

        `device` is an ordinal or a UUID. The daemon prints whole gibibytes from one on: 1500 MiB reads '1G'.
        """
        return "".join(self.ask(f"get_default_device_pinned_mem_limit {device}")) or None

    def set_default_memory_limit(self, device: int | str, mebibytes: int) -> None:
        """Sets that limit for servers started from now on. 0 removes it.

        Raises UsageError for a device that the daemon does not know: it ignores those in silence.
        """
        self._set_memory_limit("default_", "", device, mebibytes)

    def memory_limit(self, server_pid: int, device: int | str) -> str | None:
        """The limit for new clients of a server. Raises MpsError where there is no such server, or it is not
        ready: it answers nothing then, which would read as no limit."""
        self._refuse_if_busy(server_pid)
        return "".join(self._ask_server(f"get_device_pinned_mem_limit {server_pid} {device}")) or None

    def set_memory_limit(self, server_pid: int, device: int | str, mebibytes: int) -> None:
        """Sets the limit for new clients of a server; those that are connected keep theirs. 0 removes it.

        Raises as `set_default_memory_limit` and `memory_limit` do. On a GPU it was never run.
        """
        self._refuse_if_busy(server_pid)
        self._set_memory_limit("", f"{server_pid} ", device, mebibytes)

    def default_client_priority(self) -> int:
        """The priority of new clients that choose none: 0 is normal, 1 below that. A hint to the GPU."""
        said = self.ask("get_default_client_priority")
        if not (said and said[0].isdigit()):
            raise MpsError(f"the MPS daemon answered {said} where a priority was asked for")
        return int(said[0])

    def set_default_client_priority(self, priority: int) -> None:
        """Sets it, 0 or 1. There is none for a server: a client may choose its own by
        CUDA_MPS_CLIENT_PRIORITY in its environment."""
        self._refuse_if_borrowed()
        if priority not in (0, 1):
            raise UsageError(f"a client's priority is 0 (normal) or 1 (below), not {priority}")
        said = self.ask(f"set_default_client_priority {priority}")
        if (now := self.default_client_priority()) != priority:
            raise MpsError(f"the MPS daemon did not take priority {priority}: it is at {now} {said}")

    def check(self) -> None:
        """Raises MpsError, with the end of the log, once the daemon or a server of it has crashed, or while a
        server is in FAULT, where the version tells that (not 535).

        Costs a file's size, a waitpid and a question for each server that is ready (some 3 ms): call it
        between trials, or every second during one.
        """
        self._check_lives()
        for pid in self._in_fault():
            raise MpsError(
                f"the MPS server (pid {pid}) is in FAULT: a client's fault on the GPU reached all its "
                "clients, and it takes no others until they have ended: end them, and see the log above",
                self.log_tail(),
            )

    def _check_lives(self) -> None:
        self._log.read()
        if self._process is not None and (code := self._process.poll()) is not None:
            why = ": its clients have lost the GPU; its last lines are above"
            raise ended(code, f" (pid {self.pid})", why, self.log_tail())
        if self._process is None and not (self.pid and _runs(self.pid)) and not self._listens():
            raise MpsError(f"the MPS control daemon of {self.pipe_folder} is gone", self.log_tail())
        if self._log.crashed:
            pid, status = self._log.crashed[0]
            raise MpsError(
                f"the MPS server (pid {pid}) ended by itself, with status {status}: see the log above, and "
                "`nvidia-smi` and the kernel's log (`dmesg | grep Xid`) for a fault of the GPU",
                self.log_tail(),
            )

    @property
    def log(self) -> Path:
        """The file of its log."""
        return self._log.path

    def log_tail(self) -> str:
        """The last lines of the daemon's log but for our own questions; a daemon of ours writes its servers'
        lines there too."""
        return self._log.tail()

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
            self._check_lives()
            raise MpsError(f"`{command}` failed: {(done.stderr.strip() or done.stdout.strip())!r}")
        if said and said[0].startswith("Unknown command"):
            raise UnknownCommandError(f"this version of {CONTROL} does not know `{command}`")
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

    def _refuse_if_busy(self, server_pid: int) -> None:
        """All versions answer nothing for a server that is not ready, where a share is never nothing."""
        if not self._ask_server(f"get_active_thread_percentage {server_pid}"):
            raise MpsError(f"the MPS server (pid {server_pid}) is not ready, so it has no settings yet")

    def _set_memory_limit(self, scope: str, server: str, device: int | str, mebibytes: int) -> None:
        self._refuse_if_borrowed()
        if mebibytes < 0:
            raise UsageError(f"a memory limit is 0 (none) or more mebibytes, not {mebibytes}")
        # Always with the M: the daemon reads any other unit, even none, as M or G without a word.
        self._ask_server(f"set_{scope}device_pinned_mem_limit {server}{device} {mebibytes}M")
        expected = f"{mebibytes // 1024}G" if mebibytes >= 1024 else f"{mebibytes}M" if mebibytes else None
        said = self._ask_server(f"get_{scope}device_pinned_mem_limit {server}{device}")
        if (now := "".join(said) or None) != expected:
            raise UsageError(f"the MPS daemon did not take a memory limit for device {device}: it is {now}")

    def _in_fault(self) -> list[int]:
        """The pids of servers in FAULT; empty where the version does not tell."""
        if not self._knows_status:
            return []
        with suppress(MpsError):  # one that does not answer now, or has just ended, is the next check's
            servers = sorted(self._log.ready) if self._log.readable else self.servers()
            return [pid for pid in servers if self.status(pid) == FAULT]
        return []

    def _listens(self) -> bool:
        return running_daemon(self.pipe_folder) is not None


def ended(code: int, which: str, why: str, log: str) -> MpsError:
    """The error that tells how a control daemon came to its end."""
    if code < 0:
        killed = f"was killed by {signal.Signals(-code).name}"
        return DaemonKilledError(f"the MPS control daemon{which} {killed}{why}", log)
    return MpsError(f"the MPS control daemon{which} ended with code {code}{why}", log)


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


def _runs(pid: int) -> bool:
    """Whether a process that isn't ours is there, and no zombie that nobody takes away."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
