"""What came of a server is ended with it: also what has left its group, or lost its parent."""

import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.serving.instances import (
    end_processes_of,
    instance_folder,
    is_alive,
    processes_of,
    remove_leftovers,
    wait_until_dead,
)

pytestmark = pytest.mark.integration

# A child in a session of its own, whose parent ends at once; it holds a semaphore as spawned workers do.
HOLDS_A_SEMAPHORE = """
import multiprocessing, time
held = multiprocessing.get_context("spawn").Lock()
print(held._semlock.name, flush=True)
time.sleep(60)
"""
LEAVES_A_CHILD = f"""
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", {HOLDS_A_SEMAPHORE!r}],
    start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
"""


def has_variables(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).environ())
    except psutil.NoSuchProcess:
        return False


IS_LARGE = "held = b'x' * 2**29; print(flush=True); input()"


def test_a_process_that_the_kernel_is_still_clearing_away_is_not_alive() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", IS_LARGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as large:
        assert large.stdout is not None
        large.stdout.readline()
        assert is_alive(large.pid)
        large.kill()
        while psutil.Process(large.pid).status() != psutil.STATUS_ZOMBIE:
            if not has_variables(large.pid):  # its memory is gone, its entry in the table is not yet
                assert not is_alive(large.pid)
    assert not is_alive(large.pid)


def test_what_nobody_takes_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what a killed TorchServe leaves in a container of which process 1 is no init."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
        wait_until_dead([ended.pid], 15.0)
        monkeypatch.undo()


def test_a_process_that_has_left_its_group_is_found_and_ended(own_tmp: Path) -> None:
    with instance_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-c", LEAVES_A_CHILD],
            env={"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        pid, semaphore = done.stdout.split()
        in_memory = Path("/dev/shm") / f"sem.{semaphore.removeprefix('/')}"
        assert int(pid) in {process.pid for process in processes_of(folder)}
        assert in_memory.exists()
        end_processes_of(folder)
        assert processes_of(folder) == []
        assert not in_memory.exists()


def test_others_are_left_alone(own_tmp: Path) -> None:
    with (
        instance_folder() as one,
        instance_folder() as other,
        subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(other)}) as process,
    ):
        end_processes_of(one)
        assert psutil.pid_exists(process.pid)
        assert [each.pid for each in processes_of(other)] == [process.pid]
        process.kill()


def test_what_an_interrupted_start_leaves_ends_with_the_folder(own_tmp: Path) -> None:
    """A Ctrl-C between the server's birth and the moment from which it is known."""
    with suppress(KeyboardInterrupt), instance_folder() as folder:
        process = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(folder)})
        raise KeyboardInterrupt
    assert not is_alive(process.pid)
    assert list(own_tmp.iterdir()) == []


def test_a_folder_of_a_run_that_was_killed_before_it_could_write_is_removed_in_time(own_tmp: Path) -> None:
    young, old, others = (
        own_tmp / "tsmps-abcdefgh",
        own_tmp / "tsmps-ijklmnop",
        own_tmp / "tsmps-archive-abcd",
    )
    for folder in (young, old, others):
        folder.mkdir()
    for folder in (old, others):
        os.utime(folder, (0, 0))
    assert remove_leftovers() == [old]
    assert young.exists()
    assert others.exists()


def test_a_folder_of_a_run_that_cant_be_seen_from_here_is_left_alone(own_tmp: Path) -> None:
    """It is in another container, which shares our temporary folder: its pids are not ours."""
    theirs = own_tmp / "tsmps-abcdefgh"
    theirs.mkdir()
    (theirs / "owner.json").write_text('{"process": "1-2-3-0123abcd"}', "utf-8")
    os.utime(theirs, (0, 0))
    assert remove_leftovers() == []
    assert theirs.exists()


WITHOUT_DESCRIPTORS = """
import resource
from contextlib import suppress
from experiments.serving.instances import instance_folder
held = []
with instance_folder() as folder, suppress(OSError):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    while True:
        held.append(open("/dev/null"))
"""


def test_a_folder_is_removed_though_no_descriptor_is_left(own_tmp: Path) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_DESCRIPTORS], cwd=ROOT, check=True)
    assert list(own_tmp.iterdir()) == []


def test_a_server_that_could_not_open_its_files_is_refused(own_tmp: Path) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, allowed[1]))
    try:
        with pytest.raises(ExperimentError, match="100 files may be open, a server needs 256: raise `ulimit"):
            instance_folder().__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)


def test_several_are_ended_together_and_the_rest_left_alone(own_tmp: Path) -> None:
    with instance_folder() as one, instance_folder() as two, instance_folder() as other, ExitStack() as life:
        processes = [
            life.enter_context(subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(folder)}))
            for folder in (one, two, other)
        ]
        end_processes_of(one, two)
        assert [each.pid for each in processes_of(one, two, other)] == [processes[2].pid]
        processes[2].kill()
