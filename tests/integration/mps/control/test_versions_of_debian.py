"""What the control programs that Debian has, 535 and 550, know and answer; neither has static partitions."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from mps.control import (
    PIPE_VARIABLE,
    MpsDaemon,
    MpsError,
    UnknownCommandError,
    mps_daemon,
    protocol,
    running_daemon,
    version,
    version_told,
)
from scripts.fetch_mps import FetchError, fetch, fetch_newer
from tests import stand_ins
from tests.integration.mps.control.conftest import begin_of_log
from tests.stand_ins import UUID

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["own", "trixie"])
def control(request: pytest.FixtureRequest) -> Path:
    try:
        return fetch().control if request.param == "own" else fetch_newer()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's control daemon, it can't be fetched: {error}")


@pytest.fixture
def daemon(control: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MpsDaemon]:
    """A daemon whose servers never get ready."""
    monkeypatch.setattr("mps.control.life.QUIT_TIMEOUT_S", 0.2)
    monkeypatch.setenv("PATH", f"{stand_ins.FOLDER}:{os.environ['PATH']}")
    with mps_daemon(binary=control) as running:
        yield running


@pytest.fixture
def server(daemon: MpsDaemon) -> int:
    """The pid of a server that has not got ready."""
    daemon.ask(f"start_server -uid {os.getuid()}")
    (pid,) = daemon.servers()
    return pid


def knows_status(daemon: MpsDaemon) -> bool:
    """550 does, 535 does not."""
    return "trixie" in str(daemon.control)


def test_the_program_does_not_tell_its_version(daemon: MpsDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    log_before = begin_of_log(daemon)
    assert version(daemon.control) is None
    assert version_told(daemon.control) == "from before CUDA 13.1, which does not tell its version"
    assert daemon.log_tail() == log_before, "it took -v for nothing, and became the shell of no daemon"


def test_the_protocol_of_a_daemon_is_2(daemon: MpsDaemon) -> None:
    there = running_daemon(daemon.pipe_folder)
    assert there is not None
    assert protocol(there, daemon.control) == 2


def test_the_status_of_a_server_is_told_where_the_version_knows_it(daemon: MpsDaemon, server: int) -> None:
    assert daemon.status(server) == ("INITIALIZING" if knows_status(daemon) else None)
    daemon.check()
    if knows_status(daemon):
        with pytest.raises(MpsError, match="there is no such MPS server"):
            daemon.status(999_999)


def test_the_priority_of_new_clients_is_set_and_read_back(daemon: MpsDaemon) -> None:
    assert daemon.default_client_priority() == 0
    daemon.set_default_client_priority(1)
    assert daemon.default_client_priority() == 1
    with pytest.raises(UsageError, match=r"is 0 \(normal\) or 1 \(below\), not 2"):
        daemon.set_default_client_priority(2)
    assert "must be 0 or 1" in daemon.ask("set_default_client_priority 2")[0]
    assert daemon.default_client_priority() == 1


def test_a_server_that_is_not_ready_has_no_memory_limit_yet(daemon: MpsDaemon, server: int) -> None:
    """The daemon answers nothing then, as it does where there is no limit."""
    assert daemon.ask(f"get_device_pinned_mem_limit {server} 0") == []
    for ask in (
        lambda: daemon.memory_limit(server, 0),
        lambda: daemon.set_memory_limit(server, 0, 500),
    ):
        with pytest.raises(MpsError, match=rf"MPS server \(pid {server}\) is not ready"):
            ask()
    with pytest.raises(MpsError, match="there is no such MPS server"):
        daemon.set_memory_limit(999_999, 0, 500)


def test_a_memory_limit_by_a_uuid_that_the_daemon_does_not_keep_is_an_error(daemon: MpsDaemon) -> None:
    with pytest.raises(UsageError, match=f"did not take a memory limit for device {UUID}: it is None"):
        daemon.set_default_memory_limit(UUID, 500)


def test_devices_are_for_newer_versions(daemon: MpsDaemon) -> None:
    with pytest.raises(UnknownCommandError, match="does not know `device_query --csv`"):
        daemon.devices()


def test_static_partitions_are_refused_in_a_line(
    control: Path, daemon: MpsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_old = rf"{control} is too old for static partitions \(-S\): they came with driver 590"
    with pytest.raises(UsageError, match=too_old), mps_daemon(binary=control, static_partitions=True):
        pass
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    with (
        pytest.raises(UsageError, match=too_old),
        mps_daemon(binary=control, use_running=True, static_partitions=True),
    ):
        pass
    with pytest.raises(UnknownCommandError, match="does not know `lspart`"):
        daemon.partitions.all()


def test_a_flag_that_the_program_does_not_know_makes_it_the_shell(daemon: MpsDaemon) -> None:
    """Why -S is verified: beside a daemon it ends with 0 and nothing has changed."""
    env = os.environ | {PIPE_VARIABLE: str(daemon.pipe_folder)}
    done = subprocess.run([daemon.control, "-f", "-S"], env=env, input="", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
