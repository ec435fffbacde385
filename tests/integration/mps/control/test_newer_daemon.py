"""What drivers from 590 on add, against a scripted stand-in: nobody here has such a driver."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.base.errors import UsageError
from experiments.checks import FAIL
from experiments.checks.checks import _running_daemon
from experiments.serving.arms import MpsOptions, arm
from experiments.serving.borrowed import obstacles_of_running
from experiments.verdict.deploy import _with_partition
from mps.card import device, gpu
from mps.control import (
    PIPE_VARIABLE,
    DaemonRunningError,
    MpsDaemon,
    MpsError,
    mps_daemon,
    protocol,
    running_daemon,
    version,
    version_told,
)
from tests.stand_ins import MPS_VARIABLE, NEWER_CONTROL, UUID, VARIABLE, a_card, choose
from tests.stand_ins import pynvml as stand_in_pynvml

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a test chooses how the stand-in behaves."""
    monkeypatch.setenv(MPS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def daemon() -> Iterator[MpsDaemon]:
    with mps_daemon(binary=NEWER_CONTROL, static_partitions=True) as running:
        running.start_server()
        yield running


@pytest.fixture
def of_protocol_3(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The pipe folder of somebody's daemon that speaks protocol 3."""
    pipe_folder = temporary / "theirs"
    pipe_folder.mkdir()
    monkeypatch.setenv(PIPE_VARIABLE, str(pipe_folder))
    with subprocess.Popen([NEWER_CONTROL, "-f", "-p", "3"]) as process:
        while running_daemon(pipe_folder) is None and process.poll() is None:
            time.sleep(0.01)
        yield pipe_folder
        process.kill()
    for left in pipe_folder.iterdir():
        left.unlink()
    pipe_folder.rmdir()


def test_the_program_tells_its_version() -> None:
    assert version(NEWER_CONTROL) == 13_010
    assert version_told(NEWER_CONTROL) == "of CUDA 13.1"


def test_a_server_in_fault_is_seen_at_the_next_check(daemon: MpsDaemon, chosen: Path) -> None:
    (server,) = daemon.servers()
    assert daemon.status(server) == "ACTIVE"
    daemon.check()
    choose(chosen, status="FAULT")
    with pytest.raises(MpsError, match=rf"MPS server \(pid {server}\) is in FAULT: .*: end them") as caught:
        daemon.check()
    assert f"NEW SERVER {server}: Ready" in caught.value.details
    assert "\n" not in str(caught.value)


def test_devices_are_told_under_the_daemon_s_own_headings(daemon: MpsDaemon) -> None:
    expected = [{"Ordinal": "0", "Name": "NVIDIA H200", "UUID": UUID}]
    assert daemon.devices() == expected
    assert daemon.devices(daemon.servers()[0]) == expected


@pytest.mark.parametrize("form", ["dashes", "blanks"])
def test_static_partitions_are_made_listed_and_removed(daemon: MpsDaemon, chosen: Path, form: str) -> None:
    choose(chosen, form=form)
    assert daemon.partitions.all() == []
    small = daemon.partitions.add(UUID, 4)
    large = daemon.partitions.add(UUID, 10)
    assert (small.multiprocessors, large.multiprocessors) == (32, 80)
    assert small.env == {"CUDA_MPS_SM_PARTITION": f"{UUID}/{small.id}"}
    assert [each.id for each in daemon.partitions.all()] == [small.id, large.id]
    room = daemon.partitions.room(UUID)
    assert (room.free_chunks, room.used_multiprocessors) == (1, 112)

    with pytest.raises(
        UsageError, match=r"no static partition of 2 chunks on .*INVALID_RESOURCE_CONFIGURATION"
    ):
        daemon.partitions.add(UUID, 2)
    choose(chosen, with_clients=[small.id])
    with pytest.raises(UsageError, match=r"stays: .*it is in use; end its clients first"):
        daemon.partitions.remove(small)
    daemon.partitions.remove(large)
    assert [(each.id, each.has_clients) for each in daemon.partitions.all()] == [(small.id, True)]


def test_a_partition_that_is_said_to_be_made_and_is_not_is_an_error(daemon: MpsDaemon, chosen: Path) -> None:
    choose(chosen, loses_partitions=True)
    with pytest.raises(MpsError, match=r"says that it made partition .* but does not list it"):
        daemon.partitions.add(UUID, 4)
    with pytest.raises(UsageError, match="has 1 or more chunks, not 0"):
        daemon.partitions.add(UUID, 0)


def test_a_start_for_partitions_is_verified(chosen: Path) -> None:
    choose(chosen, heeds_static=False)
    with (
        pytest.raises(UsageError, match="is too old for static partitions"),
        mps_daemon(binary=NEWER_CONTROL, static_partitions=True),
    ):
        pass


def test_a_daemon_of_another_s_keeps_its_partitions(
    daemon: MpsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    with mps_daemon(binary=NEWER_CONTROL, use_running=True, static_partitions=True) as borrowed:
        assert borrowed.partitions.all() == []
        with pytest.raises(UsageError, match="is not ours, so its settings stay"):
            borrowed.partitions.add(UUID, 4)


def test_an_arm_has_a_partition_that_all_workers_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(VARIABLE, str(a_card(tmp_path / "card")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    options = MpsOptions(keep_compute_mode=True, control=NEWER_CONTROL)
    with arm(True, gpu(), options, pytest.fail, sm_chunks=4) as current:
        assert current.env["CUDA_MPS_SM_PARTITION"].startswith(f"{UUID}/")
        assert current.multiprocessors == 32
    with (
        pytest.raises(MpsError, match="no static partition of 99 chunks"),
        arm(True, gpu(), options, pytest.fail, sm_chunks=99),
    ):
        pass


def test_the_advised_script_makes_a_partition_in_either_form(
    daemon: MpsDaemon, chosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIPE_VARIABLE, str(daemon.pipe_folder))
    (chosen / "nvidia-smi").write_text(f"#!/bin/sh\necho {UUID}\n")
    (chosen / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{chosen}:{NEWER_CONTROL.parent}:{os.environ['PATH']}")
    script = "\n".join([*_with_partition(4), "echo $CUDA_MPS_SM_PARTITION"])
    for form in ("dashes", "blanks"):
        choose(chosen, form=form)
        done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True)
        assert done.stdout.strip() == f"{UUID}/{daemon.partitions.all()[-1].id}"
    choose(chosen, chunks=8)
    full = subprocess.run(["sh", "-ec", script], capture_output=True, text=True)
    assert (full.returncode, full.stderr) == (1, "no static partition: does the daemon run with -S?\n")


def test_a_daemon_of_protocol_3_is_recognised_by_its_start_and_by_its_answers(
    of_protocol_3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = running_daemon()
    assert there is not None
    assert protocol(there, NEWER_CONTROL) == 3
    monkeypatch.setattr("mps.control.versions._protocol_at_start", lambda pid: None)
    assert protocol(there, NEWER_CONTROL) == 3


def test_a_daemon_of_protocol_3_is_refused_with_what_to_do(of_protocol_3: Path) -> None:
    end = rf"CUDA_MPS_PIPE_DIRECTORY={of_protocol_3} nvidia-cuda-mps-control -q"
    with (
        pytest.raises(UsageError, match=rf"speaks protocol 3, which is not spoken here: end it \({end}\)"),
        mps_daemon(binary=NEWER_CONTROL, use_running=True),
    ):
        pass
    with (
        pytest.raises(DaemonRunningError, match=rf"runs already: .*{of_protocol_3}; end it: {end}$"),
        mps_daemon(binary=NEWER_CONTROL),
    ):
        pass
    card: Any = SimpleNamespace(uuid=UUID)
    (line,) = obstacles_of_running(card, NEWER_CONTROL)
    assert "speaks protocol 3" in line
    (check,) = _running_daemon()
    assert (check.status, check.remedy) == (FAIL, f"end it: {end}")
    assert "(protocol 3, pid" in check.found
