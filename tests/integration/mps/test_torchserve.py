"""`torchserve --start --mps`: real TorchServe, NVIDIA's real control daemon, a stand-in card.

Stood in for is what needs a GPU: NVML, and the MPS server, which the daemon would start.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from experiments.base.paths import ROOT
from experiments.serving.under_mps import COMMAND, FRONTEND
from mps.control import CONTROL, PIPE_VARIABLE, mps_daemon
from scripts.fetch_mps import FetchError, fetch
from tests.integration.conftest import programs_in
from tests.stand_ins import FOLDER, VARIABLE, a_card
from tests.support.served_folder import a_folder, predict
from tests.support.small_archives import RAISES_AT_LOAD, archive

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from mps.control import daemon
daemon.MpsDaemon.start_server = lambda self: 1  # a real one needs a GPU
from mps.torchserve import app
app(prog_name="torchserve")
"""
Found = TypeVar("Found")
SHARE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"


@dataclass(frozen=True)
class Host:
    """A machine with a card and NVIDIA's programs, and a folder with something to serve."""

    folder: Path
    ports: dict[str, int]
    tmp: Path
    env: dict[str, str]

    def command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """`torchserve` with these arguments; what it prints is `printed()`."""
        with (self.folder / "printed.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def code(self, *arguments: str) -> int:
        """Its exit code. It is waited for alone: who goes on in the background may hold nothing of it."""
        return self.command(*arguments).wait(timeout=120)

    def stop(self, *options: str) -> int:
        """The exit code of the `torchserve --stop` that `make setup` installs."""
        return subprocess.run([*COMMAND, "--stop", *options], cwd=self.folder, env=self.env).returncode

    def printed(self) -> str:
        return (self.folder / "printed.log").read_text()

    def daemon(self) -> psutil.Process:
        """The control daemon that was told of."""
        told = wait_for(lambda: re.search(r"^MPS: control daemon (\d+), pipe folder", self.printed(), re.M))
        return psutil.Process(int(told[1]))

    def named(self, words: str) -> list[psutil.Process]:
        """The processes with these words in their command line, that work in the folder of this machine."""
        found = [process for process in psutil.process_iter() if words in command_line(process)]
        return [process for process in found if str(self.tmp) in command_line(process)]

    def nothing_is_left(self) -> bool:
        """No process, and no folder of a daemon."""
        return not programs_in(self.tmp) and not list(self.tmp.rglob("mps-*-*"))


@pytest.fixture
def host(own_tmp: Path) -> Host:
    try:
        programs = fetch()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's control daemon, it can't be fetched: {error}")
    folder = own_tmp / "served"
    folder.mkdir()
    ports = a_folder(folder)
    left_out = (PIPE_VARIABLE, SHARE, "CUDA_VISIBLE_DEVICES", "TS_CONFIG_FILE", "LOG_LOCATION")
    env = {key: value for key, value in os.environ.items() if key not in left_out} | {
        "PATH": f"{programs.control.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}",
        VARIABLE: str(a_card(own_tmp / "card")),
    }
    return Host(folder, ports, own_tmp, env)


def test_it_serves_under_a_daemon_of_its_own_until_it_is_stopped(host: Host) -> None:
    others = ["--ncs", "--models", "noop=noop.mar", "--ts-config", "config.properties"]
    assert host.code("--start", "--mps", "--thread-percentage", "50", *others) == 0, host.printed()
    told, served = host.printed().splitlines()
    daemon = host.daemon()
    pipe_folder = Path(daemon.environ()[PIPE_VARIABLE])
    assert f"pipe folder {pipe_folder}, log {pipe_folder.parent}/log/control.log" in told
    assert served.startswith("TorchServe serves noop at ")
    assert predict(host.folder, host.ports).text == "ok"

    assert daemon.environ()["CUDA_VISIBLE_DEVICES"].startswith("GPU-")
    assert SHARE not in daemon.environ()
    assert pipe_folder.parent.stat().st_mode & 0o777 == 0o700
    (frontend,) = host.named(FRONTEND)
    assert frontend.cmdline()[-3:] == ["-ncs", "-m", "noop=noop.mar"]
    (worker,) = host.named("model_service_worker")
    for process in (frontend, worker):
        environment = process.environ()
        assert environment[PIPE_VARIABLE] == str(pipe_folder)
        assert (environment["CUDA_VISIBLE_DEVICES"], environment[SHARE]) == ("0", "50")

    assert host.code("--start", "--mps") == 1
    assert host.printed().splitlines()[1:] == [
        "error: your TorchServe is already running: torchserve --stop stops it"
    ]
    assert predict(host.folder, host.ports).text == "ok"
    assert daemon.is_running()

    assert host.stop() == 0
    assert host.nothing_is_left()


@pytest.mark.wide
def test_the_daemon_ends_with_a_server_that_is_killed(host: Host) -> None:
    assert host.code("--start", "--mps") == 0, host.printed()
    host.named(FRONTEND)[0].kill()
    wait_for(host.nothing_is_left)
    assert (host.folder / "logs" / "mps.log").read_text() == (
        "TorchServe has ended, and its MPS control daemon\n"
    )
    assert host.stop() == 0


@pytest.mark.wide
def test_a_server_whose_daemon_is_killed_is_stopped_and_the_log_says_why(host: Host) -> None:
    assert host.code("--start", "--mps") == 0, host.printed()
    daemon = host.daemon()
    daemon.kill()
    wait_for(host.nothing_is_left)
    said = (host.folder / "logs" / "mps.log").read_text()
    assert "Starting control daemon" in said
    assert f"error: the MPS control daemon (pid {daemon.pid}) has ended: TorchServe is stopped" in said


@pytest.mark.wide
def test_a_model_that_cannot_be_loaded_ends_it_all_with_the_cause(host: Host) -> None:
    archive(host.folder, "broken", RAISES_AT_LOAD).rename(host.folder / "model_store" / "broken.mar")
    assert host.code("--start", "--mps") == 1
    assert "ValueError: the weights are not there" in host.printed()
    assert host.nothing_is_left()


@pytest.mark.wide
def test_after_a_killed_keeper_a_stop_ends_the_daemon(host: Host) -> None:
    assert host.code("--start", "--mps") == 0, host.printed()
    keeper = psutil.Process(host.daemon().ppid())
    keeper.kill()
    assert host.stop("--foreground") == 0
    assert host.nothing_is_left()


@pytest.mark.wide
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_a_signal_ends_all(host: Host, number: signal.Signals) -> None:
    command = host.command("--start", "--mps", "--foreground")
    wait_for(lambda: host.named("model_service_worker"))
    command.send_signal(number)
    assert command.wait(timeout=60) == 130, host.printed()
    assert host.printed().splitlines()[-1] == "interrupted: TorchServe and its MPS control daemon have ended"
    assert host.nothing_is_left()


@pytest.mark.wide
def test_in_the_foreground_a_stop_is_no_failure(host: Host) -> None:
    command = host.command("--start", "--mps", "--foreground")
    wait_for(lambda: host.named("model_service_worker"))
    assert host.stop() == 0
    assert command.wait(timeout=60) == 0, host.printed()
    assert host.nothing_is_left()


@pytest.mark.wide
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_its_start_ends_all(host: Host, number: signal.Signals) -> None:
    command = host.command("--start", "--mps")
    wait_for(lambda: host.named(FRONTEND))
    command.send_signal(number)
    command.send_signal(number)  # an impatient second one
    assert command.wait(timeout=60) == 130, host.printed()
    assert host.nothing_is_left()
    assert "Traceback" not in host.printed()


@pytest.mark.wide
def test_a_start_that_is_killed_does_not_go_on_in_the_background(host: Host) -> None:
    command = host.command("--start", "--mps")
    wait_for(lambda: host.named(FRONTEND))
    command.kill()
    wait_for(host.nothing_is_left)
    assert host.code("--start", "--mps") == 0, host.printed()
    assert host.stop() == 0
    assert host.nothing_is_left()


def test_a_daemon_that_runs_already_is_named_and_left_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PIPE_VARIABLE, raising=False)
    with mps_daemon(binary=Path(shutil.which(CONTROL, path=host.env["PATH"]) or "")) as there:
        host.env[PIPE_VARIABLE] = str(there.pipe_folder)
        assert host.code("--start", "--mps") == 2
        there.check()
    (line,) = host.printed().splitlines()
    assert line.startswith(f"error: an MPS control daemon runs already: pid {there.pid}, user ")
    assert "without --mps TorchServe's workers use it" in line
    assert host.nothing_is_left()


def test_a_server_of_mps_that_does_not_come_up_is_said_before_torchserve_starts(host: Host) -> None:
    """The real one, which finds no GPU here."""
    assert subprocess.run([*COMMAND, "--start", "--mps"], cwd=host.folder, env=host.env).returncode == 1
    assert not (host.folder / "logs").exists()
    assert host.nothing_is_left()


def wait_for(look: Callable[[], Found | None]) -> Found:
    """What `look` finds at last; the deadline only keeps a failing test from hanging."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline, look
        time.sleep(0.05)
    return found


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
