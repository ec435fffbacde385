"""Harms, done to a process or to what it lives on; each is undone before the program goes on."""

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

from tests.chaos.drawn import DAMAGES, SHORTAGES, SIGNALS, Kill
from tests.chaos.harms import room
from tests.chaos.stage import Stage

DISK_MIB = 48
TEMPORARY_DISK_MIB = 160
DISKS = ("results disk", "temporary disk")
NEED_A_ROOM = (*DISKS, "ports")
MOST_SPARE_BYTES = 40_000
MOST_ADDED_BYTES = 30 * 2**20


@contextmanager
def surroundings(kill: Kill, stage: Stage) -> Iterator[None]:
    """What must be there before the program begins: a disk that can be filled."""
    with ExitStack() as disks:
        if kill.harm == "results disk":
            disks.enter_context(room.small_disk(stage.disk, DISK_MIB))
        if kill.harm == "temporary disk":
            disks.enter_context(room.small_disk(stage.tmp, TEMPORARY_DISK_MIB))
        yield


def can_be_done(kill: Kill, *, own_room: bool) -> bool:
    """Whether this machine lets us."""
    return own_room or kill.harm not in NEED_A_ROOM


def strike(kill: Kill, stage: Stage, process: psutil.Process, lasting: ExitStack) -> str:
    """Does it; returns what was done. What lasts until the program has ended goes into `lasting`."""
    if kill.harm in SIGNALS:
        return _signal(kill, process)
    if kill.harm in DAMAGES:
        return _signal_once(process, signal.SIGKILL)
    assert kill.harm in SHORTAGES
    if kill.harm in DISKS:
        folder = stage.disk if kill.harm == "results disk" else stage.tmp
        spare_bytes = int(kill.detail * MOST_SPARE_BYTES)
        lasting.enter_context(room.full(folder, spare_bytes))
        return f"{kill.harm} full but for {spare_bytes} bytes"
    if kill.harm == "ports":
        free = int(kill.detail * 8)
        lasting.enter_context(room.ports_taken(free))
        return f"all ports taken but {free}"
    return _limit(kill, process)


def _signal(kill: Kill, process: psutil.Process) -> str:
    number = signal.Signals[kill.harm]
    told = _signal_once(process, number)
    if number == signal.SIGSTOP:
        time.sleep(kill.pause_s)
        with suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)
        return f"{told} for {kill.pause_s:.1f} s"
    if kill.again_s is not None:
        time.sleep(kill.again_s)
        with suppress(psutil.Error):
            process.send_signal(number)
        return f"{told}, and after {kill.again_s:.2f} s again"
    return told


def _signal_once(process: psutil.Process, number: signal.Signals) -> str:
    process.send_signal(number)
    return number.name


def _limit(kill: Kill, process: psutil.Process) -> str:
    """Limits of the program, and of what it starts later. Python takes too large a file for an error."""
    if kill.harm == "file size":
        most = int(kill.detail * MOST_SPARE_BYTES)
        process.rlimit(resource.RLIMIT_FSIZE, (most, most))
        return f"files of {most} bytes at most"
    if kill.harm == "descriptors":
        most = process.num_fds() + int(kill.detail * 8)
        process.rlimit(resource.RLIMIT_NOFILE, (most, most))
        return f"{most} descriptors at most"
    most = process.memory_info().vms + int(kill.detail * MOST_ADDED_BYTES)
    process.rlimit(resource.RLIMIT_AS, (most, most))
    return f"{most / 2**20:.0f} MiB of addresses at most"
