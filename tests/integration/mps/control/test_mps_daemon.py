"""NVIDIA's own control daemon, without a GPU: its life, its settings, its failures; nothing is left of it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.serving.borrowed import obstacles_of_running
from mps.card import device, exclusive_process, gpu
from mps.control import (
    PIPE_VARIABLE,
    DaemonRunningError,
    MpsDaemon,
    MpsError,
    mps_daemon,
    remove_leftovers,
    running_daemon,
)
from mps.control.daemon import Client
from mps.control.program import talk
from scripts.fetch_mps import FetchError, NvidiaPrograms, fetch
from tests import stand_ins
from tests.integration.mps.control.conftest import begin_of_log, lives
from tests.stand_ins import UUID, a_card, transcript
from tests.stand_ins import pynvml as stand_in_pynvml
from tests.support.keep_calling import keep_calling

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def programs() -> NvidiaPrograms:
    try:
        return fetch()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's control daemon, it can't be fetched: {error}")


@pytest.fixture
def daemon(programs: NvidiaPrograms) -> Iterator[MpsDaemon]:
    with mps_daemon(binary=programs.control) as running:
        yield running


def test_a_daemon_answers_in_folders_of_its_own(daemon: MpsDaemon) -> None:
    assert daemon.servers() == []
    assert daemon.clients() == []
    assert daemon.pipe_folder.stat().st_mode & 0o777 == 0o700
    assert daemon.env[PIPE_VARIABLE] == str(daemon.pipe_folder)
    there = running_daemon(daemon.pipe_folder)
    assert there is not None
    assert there.pid == daemon.pid
    daemon.check()


def test_the_clients_see_the_card_by_its_uuid_and_the_users_settings_stay_out(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "10")
    with mps_daemon(binary=programs.control, device=UUID) as running:
        assert running.env["CUDA_VISIBLE_DEVICES"] == UUID
        assert psutil.Process(running.pid).environ()["CUDA_VISIBLE_DEVICES"] == UUID
        assert running.default_thread_percentage() == 100.0


def test_what_is_said_to_a_daemon_is_free_of_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prints-its-settings"
    program.write_text("#!/bin/sh\nenv | grep ^CUDA_MPS_\n")
    program.chmod(0o755)
    monkeypatch.setenv("CUDA_MPS_PROTOCOL_VERSION", "3")
    assert talk(program, tmp_path, "ps", 10).stdout == f"{PIPE_VARIABLE}={tmp_path}\n"


def test_thread_percentages_are_set_and_read_back(daemon: MpsDaemon) -> None:
    assert daemon.default_thread_percentage() == 100.0
    daemon.set_default_thread_percentage(50)
    assert daemon.default_thread_percentage() == 50.0
    daemon.set_default_thread_percentage(100 / 3)
    assert daemon.default_thread_percentage() == 33.3
    for wrong in (0.0, -1.0, 100.1):
        with pytest.raises(UsageError, match="above 0 and up to 100"):
            daemon.set_default_thread_percentage(wrong)
    assert daemon.default_thread_percentage() == 33.3


def test_memory_limits_are_set_and_read_back(daemon: MpsDaemon) -> None:
    assert daemon.default_memory_limit(0) is None
    daemon.set_default_memory_limit(0, 500)
    assert daemon.default_memory_limit(0) == "500M"
    daemon.set_default_memory_limit(0, 2048)
    assert daemon.default_memory_limit(0) == "2G"
    daemon.set_default_memory_limit(0, 0)
    assert daemon.default_memory_limit(0) is None
    with pytest.raises(UsageError, match="did not take a memory limit for device 99"):
        daemon.set_default_memory_limit(99, 500)


def test_unknown_commands_and_servers_are_errors_though_the_program_ends_with_0(daemon: MpsDaemon) -> None:
    with pytest.raises(MpsError, match="does not know `bogus`"):
        daemon.ask("bogus")
    for ask in (daemon.clients_of, daemon.thread_percentage):
        with pytest.raises(MpsError, match="no such MPS server"):
            ask(999_999)
    with pytest.raises(MpsError, match="no such MPS server"):
        daemon.set_thread_percentage(999_999, 50)


def test_a_client_that_the_daemon_does_not_drop_is_none_of_those_dropped(
    daemon: MpsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daemon.terminate_clients([os.getpid()], within_s=5) == []
    monkeypatch.setattr(
        "mps.control.daemon.parse_ps", lambda _: [Client(os.getpid(), 7, "GPU-5d1f", "python")]
    )
    assert daemon.terminate_clients([os.getpid()], within_s=5) == [], "the real daemon has no such server"
    assert "1" in daemon.ask(f"terminate_client 7 {os.getpid()}")[-1]


def test_a_daemon_that_is_not_ours_is_named_and_left_alone(
    daemon: MpsDaemon, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = _program(programs, daemon.pipe_folder, "-f")
    assert (second.returncode, second.stdout.strip()) == (1, "An instance of this daemon is already running")

    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    named = rf"pid {daemon.pid}, user \w+, pipe folder {daemon.pipe_folder}; use it with --use-running-daemon"
    with pytest.raises(DaemonRunningError, match=named), mps_daemon(binary=programs.control):
        pass
    daemon.check()


def test_a_borrowed_daemon_is_used_and_left_running(
    daemon: MpsDaemon, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    with mps_daemon(binary=programs.control, use_running=True) as borrowed:
        assert borrowed.pid == daemon.pid
        assert borrowed.env[PIPE_VARIABLE] == str(daemon.pipe_folder)
        assert borrowed.servers() == []
        borrowed.check()
        with pytest.raises(UsageError, match="is not ours"):
            borrowed.set_default_thread_percentage(50)
    assert daemon.default_thread_percentage() == 100.0
    daemon.check()


def test_a_borrowed_daemon_that_limits_its_clients_is_an_obstacle(
    daemon: MpsDaemon, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    card: Any = SimpleNamespace(uuid="GPU-0")
    assert list(obstacles_of_running(card, programs.control)) == []
    daemon.set_default_thread_percentage(50)
    (line,) = obstacles_of_running(card, programs.control)
    assert line.startswith("the MPS daemon gives its clients 50 % of the GPU at most")


def test_a_borrowed_daemon_that_ends_is_seen(
    daemon: MpsDaemon, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    with mps_daemon(binary=programs.control, use_running=True) as borrowed:
        daemon.ask("quit")
        with pytest.raises(MpsError, match="ended with code 0"):
            keep_calling(daemon.check)  # which also takes the zombie away
        with pytest.raises(MpsError, match="is gone"):
            borrowed.check()


def test_without_a_running_daemon_there_is_none_to_borrow(
    temporary: Path, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(temporary / "none"))
    with (
        pytest.raises(UsageError, match=rf"no MPS control daemon runs at {temporary}/none"),
        mps_daemon(binary=programs.control, use_running=True),
    ):
        pass


def test_it_may_be_stopped_twice(daemon: MpsDaemon, programs: NvidiaPrograms) -> None:
    assert _program(programs, daemon.pipe_folder, command="quit").returncode == 0
    again = _program(programs, daemon.pipe_folder, command="quit")
    assert (again.returncode, again.stderr.strip()) == (1, "Cannot find MPS control daemon process")


def test_a_killed_daemon_is_seen(daemon: MpsDaemon) -> None:
    begin = begin_of_log(daemon)
    os.kill(daemon.pid, signal.SIGKILL)
    with pytest.raises(MpsError, match=rf"\(pid {daemon.pid}\) was killed by SIGKILL") as caught:
        keep_calling(daemon.check)
    assert "Starting control daemon" in begin
    assert caught.value.details.startswith(begin)
    with pytest.raises(MpsError, match="was killed by SIGKILL"):
        daemon.servers()


WITHOUT_DESCRIPTORS = """
import resource, sys
from contextlib import suppress
from pathlib import Path
from mps.control import mps_daemon
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
with mps_daemon(binary=Path(sys.argv[1])), suppress(OSError):
    while True:
        held.append(open("/dev/null"))
"""


def test_a_daemon_is_ended_though_no_descriptor_is_left(temporary: Path, programs: NvidiaPrograms) -> None:
    """What is left of it after that, the fixture would find."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(programs.control)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.wide
def test_a_daemon_that_hangs_is_killed_in_the_end(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mps.control.daemon.ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("mps.control.life.QUIT_TIMEOUT_S", 0.2)
    with mps_daemon(binary=programs.control) as running:
        os.kill(running.pid, signal.SIGSTOP)
        with pytest.raises(MpsError, match="does not answer `get_server_list`"):
            running.servers()


def test_a_server_that_exits_at_once_is_an_error_with_the_log(daemon: MpsDaemon) -> None:
    with pytest.raises(MpsError, match=r"MPS server \(pid \d+\) ended by itself, with status 1") as caught:
        daemon.start_server()
    assert "exited with status 1" in caught.value.details
    with pytest.raises(MpsError, match="ended by itself"):
        daemon.check()


def test_a_server_that_is_killed_is_seen_though_its_status_reads_0(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _with_stand_in_server(programs, monkeypatch) as running:
        running.ask(f"start_server -uid {os.getuid()}")
        (server,) = running.servers()
        running.check()
        os.kill(server, signal.SIGKILL)
        with pytest.raises(MpsError, match=rf"MPS server \(pid {server}\) ended by itself"):
            keep_calling(running.check)


def test_a_server_that_hangs_does_not_keep_the_daemon(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mps.control.life.QUIT_TIMEOUT_S", 0.2)
    with _with_stand_in_server(programs, monkeypatch) as running:
        running.ask(f"start_server -uid {os.getuid()}")
        (server,) = running.servers()
    assert not lives(server)


def test_a_server_that_does_not_get_ready_is_an_error(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mps.control.daemon.SERVER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("mps.control.life.QUIT_TIMEOUT_S", 0.2)
    with (
        _with_stand_in_server(programs, monkeypatch) as running,
        pytest.raises(MpsError, match="not ready after"),
    ):
        running.start_server()


def test_a_path_too_long_for_a_socket_is_refused(
    temporary: Path, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = temporary / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(UsageError, match=r"too long for the sockets of MPS.*TMPDIR=/tmp"):
        _start_and_stop(programs)
    assert list(long.iterdir()) == []
    long.rmdir()


def test_a_path_of_the_longest_length_works(
    temporary: Path, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mps_daemon(binary=programs.control) as running:
        spare = 106 - len(str(running.pipe_folder / "control_privileged"))
    long = temporary / ("x" * (spare - 1))
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with mps_daemon(binary=programs.control) as running:
        assert len(str(running.pipe_folder / "control_privileged")) == 106
        assert running.servers() == []
    long.rmdir()


def test_a_program_that_is_no_daemon_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(MpsError, match="ended with code 1 at its start: it printed no reason"),
        mps_daemon(binary=Path("/bin/false")),
    ):
        pass
    (tmp_path / "text").write_text("not a program")
    (tmp_path / "text").chmod(0o755)
    with (
        pytest.raises(MpsError, match="can't be run: Exec format error"),
        mps_daemon(binary=tmp_path / "text"),
    ):
        pass


@pytest.mark.wide
def test_a_hundred_starts_and_stops_leave_nothing(temporary: Path, programs: NvidiaPrograms) -> None:
    shared_memory = set(Path("/dev/shm").iterdir())
    for _ in range(100):
        _start_and_stop(programs)
    assert list(temporary.iterdir()) == []
    assert {path for path in Path("/dev/shm").iterdir() if "cuda" in path.name} <= shared_memory


KILLED = """
import sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from mps.control import mps_daemon
tempfile.tempdir = sys.argv[2]
with mps_daemon(binary=Path(sys.argv[1])) as daemon:
    print(daemon.pid, daemon.pipe_folder, flush=True)
    input()
"""


def test_the_next_start_ends_the_daemon_of_a_killed_run(temporary: Path, programs: NvidiaPrograms) -> None:
    run, pid, pipe_folder = _another_run(programs, temporary)
    assert remove_leftovers() == []
    run.kill()
    run.wait()
    assert lives(pid)
    assert (pipe_folder / "control").exists()

    _start_and_stop(programs)
    assert not lives(pid)
    assert not pipe_folder.exists()


def test_stale_sockets_of_a_killed_run_and_daemon_are_removed(
    temporary: Path, programs: NvidiaPrograms
) -> None:
    run, pid, pipe_folder = _another_run(programs, temporary)
    os.kill(pid, signal.SIGKILL)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while running_daemon(pipe_folder) is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the kernel takes a moment to close what a killed daemon held
    assert (pipe_folder / "control").exists()
    assert running_daemon(pipe_folder) is None

    assert remove_leftovers() == [pipe_folder.parent]
    assert not pipe_folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_daemon_too(
    temporary: Path, programs: NvidiaPrograms, number: signal.Signals
) -> None:
    run, pid, pipe_folder = _another_run(programs, temporary)
    run.send_signal(number)
    run.send_signal(number)  # an impatient second one
    run.wait(timeout=30)
    assert not lives(pid)
    assert not pipe_folder.exists()


def test_the_compute_mode_is_set_before_the_daemon_starts_and_put_back_after_it_ended(
    tmp_path: Path, programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = a_card(tmp_path)
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(stand_ins.VARIABLE, str(card))
    monkeypatch.setenv("REAL_CONTROL", str(programs.control))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def measure() -> None:
        with (
            exclusive_process(gpu(), smi=stand_ins.NVIDIA_SMI),
            mps_daemon(binary=stand_ins.FOLDER / "recorded", device=gpu().uuid) as running,
        ):
            running.set_default_thread_percentage(50)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()
    steps = [step for step in transcript(card) if step != "control get_server_list"]  # until it answers
    assert steps == [
        f"nvidia-smi -i {UUID} -c EXCLUSIVE_PROCESS",
        "control -f",
        "control set_default_active_thread_percentage 50",
        "control quit -t 4",
        f"nvidia-smi -i {UUID} -c DEFAULT",
    ]


def test_the_real_nvidia_smi_and_nvml_without_a_driver(programs: NvidiaPrograms) -> None:
    env = os.environ | {"LD_LIBRARY_PATH": str(programs.libraries)}
    smi = subprocess.run([programs.smi, "-c", "DEFAULT"], env=env, capture_output=True, text=True)
    if smi.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert smi.returncode == 9
    assert smi.stdout.startswith(
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver"
    )

    code = "from mps.card import gpu; gpu()"
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    assert "NoGpuError: NVIDIA's driver is not loaded" in done.stderr


def _start_and_stop(programs: NvidiaPrograms) -> None:
    with mps_daemon(binary=programs.control) as running:
        running.check()


def _another_run(programs: NvidiaPrograms, temporary: Path) -> tuple["subprocess.Popen[str]", int, Path]:
    """A program of ours that holds a daemon: the program, the daemon's pid and its pipe folder."""
    run = subprocess.Popen(
        [sys.executable, "-c", SIGNALS + KILLED, str(programs.control), str(temporary)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout is not None
    pid, pipe_folder = run.stdout.readline().split()
    return run, int(pid), Path(pipe_folder)


SIGNALS = """
import signal
signal.signal(signal.SIGTERM, signal.default_int_handler)
"""


def _program(
    programs: NvidiaPrograms, pipe_folder: Path, *arguments: str, command: str = ""
) -> "subprocess.CompletedProcess[str]":
    """NVIDIA's program as a user runs it."""
    return subprocess.run(
        [programs.control, *arguments],
        input=command + "\n",
        env=os.environ | {PIPE_VARIABLE: str(pipe_folder)},
        capture_output=True,
        text=True,
        timeout=20,
    )


def _with_stand_in_server(
    programs: NvidiaPrograms, monkeypatch: pytest.MonkeyPatch
) -> AbstractContextManager[MpsDaemon]:
    monkeypatch.setenv("PATH", f"{stand_ins.FOLDER}:{os.environ['PATH']}")
    return mps_daemon(binary=programs.control)
