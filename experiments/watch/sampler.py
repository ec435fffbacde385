"""The sampler: a program beside a trial that writes down, ten times a second, what processes and GPU do.

telemetry.py starts it and reads what it prints, one JSON object a line: a sample or a problem. It ends with
its standard input, so it never outlives who started it. What the samples add up to is not known here.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from experiments.base.cgroup import Throttled, parse_throttled, quotas

SELDOM_S = 2.0  # for what costs most or changes least: GPU memory, temperature, new processes
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LONGEST_STAT_BYTES = 2**16  # of /proc/stat: the lines of hundreds of cores, which come first

Readings = dict[str, Any]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, and tells us by the pipe
    asked = json.loads(sys.argv[1])
    groups = [Group(name, pids, name in asked["with_children"]) for name, pids in asked["processes"].items()]
    with ExitStack() as stack:
        sample(groups, _card_reader(asked["gpu_uuid"], stack), asked["period_s"], asked["most_cpu_cores"])


def sample(
    groups: list["Group"], read_card: Callable[[bool], Readings], period_s: float, most_cpu_cores: float
) -> None:
    """Prints a sample every `period_s`, and a last one when standard input ends.

    After a dear one the next of its kind waits longer, so that each kind takes `most_cpu_cores` of CPU time
    at most: the list of the GPU's processes, seldom read, takes ten times as long as what is read often.

    `read_card` gives the GPU's part, and is told whether this is one of the seldom samples.
    """
    families, machine, throttling = Families(groups), Machine(), Throttling()
    due_s = seldom_due_s = time.monotonic()
    ending = False
    while True:
        begin_s, cpu_begin_s = time.monotonic(), time.process_time()
        seldom = ending or begin_s >= seldom_due_s
        if seldom:
            families.adopt()
        figures = {group.name: group.read() for group in groups}
        _print(
            {
                "at_s": begin_s,
                "own_cpu_s": cpu_begin_s,
                "cpu_s": {name: cpu_s for name, (cpu_s, _) in figures.items()},
                "rss_bytes": {name: rss_bytes for name, (_, rss_bytes) in figures.items()},
                "machine_cpu_s": machine.cpu_s(),
                "throttled": throttling.read(),
                **read_card(seldom),
            }
        )
        if ending:
            return
        enough_s = begin_s + (time.process_time() - cpu_begin_s) / most_cpu_cores
        due_s = max(due_s + period_s, time.monotonic())
        if seldom:
            seldom_due_s = max(begin_s + SELDOM_S, enough_s)
        else:
            due_s = max(due_s, enough_s)
        ending = _input_ends_before(due_s)


@dataclass(slots=True)
class Process:
    """A process that is watched. The open file stays with it: a later one with the same pid is not it."""

    pid: int
    statm: int
    counted_s: float

    def read(self) -> tuple[float, int]:
        """CPU seconds and resident bytes now, shared pages included. Raises OSError once it has ended."""
        size, resident, *_ = os.pread(self.statm, 256, 0).split()
        if size == b"0":
            raise ProcessLookupError(f"{self.pid} is a zombie")
        return _cpu_clock_s(self.pid), int(resident) * PAGE_BYTES


@dataclass(slots=True)
class Group:
    """Processes that are told as one: those `listed` and, if wanted, their descendants."""

    name: str
    listed: list[int]
    with_children: bool
    living: list[Process] = field(default_factory=list)
    cpu_s: float = 0.0
    whole: bool = True  # none of the listed ones has ended

    def __post_init__(self) -> None:
        for pid in self.listed:
            self.add(pid, newborn=False)

    def add(self, pid: int, *, newborn: bool) -> None:
        """Watches one more process: from now on or, newborn, with all that it has done."""
        try:
            statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
            self.living.append(Process(pid, statm, 0.0 if newborn else _cpu_clock_s(pid)))
        except OSError:
            self._note_end(pid)

    def read(self) -> tuple[float | None, int | None]:
        """CPU seconds since the beginning and resident bytes now; None once a listed process has ended."""
        rss_bytes = 0
        for process in list(self.living):
            try:
                now_s, resident_bytes = process.read()
            except OSError:
                os.close(process.statm)
                self.living.remove(process)
                self._note_end(process.pid)
                continue
            self.cpu_s += now_s - process.counted_s
            process.counted_s = now_s
            rss_bytes += resident_bytes
        return (self.cpu_s, rss_bytes) if self.whole else (None, None)

    def _note_end(self, pid: int) -> None:
        if pid in self.listed:
            self.whole = False
            _print_problem(f"process {pid} ({self.name}) ended while it was measured")


class Families:
    """Finds the descendants of the listed processes. A process's parent is read once, when it is new."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._group_of = {pid: group for group in groups for pid in group.listed}
        self._parents: dict[int, int] = {}

    def adopt(self) -> None:
        """Adds new descendants to the group of their nearest listed ancestor, where it wants children."""
        if not any(group.with_children for group in self._group_of.values()):
            return
        newborn = bool(self._parents)  # those of the first time were there before us
        there = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - in a hurry
        new = there.difference(self._parents)
        self._parents = {pid: parent for pid, parent in self._parents.items() if pid in there}
        self._parents |= {pid: _parent(pid) for pid in new}
        for pid in new.difference(self._group_of):
            group = self._group_of.get(self._listed_ancestor(pid))
            if group is not None and group.with_children:
                group.add(pid, newborn=newborn)

    def _listed_ancestor(self, pid: int) -> int:
        while pid and pid not in self._group_of:
            pid = self._parents.get(pid, 0)
        return pid


class Machine:
    """The cores that may be used, whoever they work for."""

    def __init__(self) -> None:
        self._cores = {f"cpu{number}".encode() for number in os.sched_getaffinity(0)}
        self._stat: int | None = None
        with suppress(OSError):
            self._stat = os.open("/proc/stat", os.O_RDONLY)

    def cpu_s(self) -> float | None:
        """CPU seconds of the cores since the machine's start, with those that a hypervisor took away; None
        where the kernel doesn't tell."""
        if self._stat is None:
            return None
        ticks = 0
        for line in os.pread(self._stat, LONGEST_STAT_BYTES, 0).splitlines():
            name, *counts = line.split()
            if name in self._cores:  # user, nice, system, idle, waiting for a disk, interrupts (2), stolen
                ticks += sum(int(count) for index, count in enumerate(counts[:8]) if index not in (3, 4))
        return ticks / TICKS_PER_S


class Throttling:
    """The CPU quotas of our cgroups, which are those of the server and the load generator too."""

    def __init__(self) -> None:
        self._stats: list[int] = []
        for quota in quotas():
            with suppress(OSError):
                self._stats.append(os.open(quota.folder / "cpu.stat", os.O_RDONLY))

    def read(self) -> list[list[float] | None]:
        """For each quota: its periods so far, those in which it stopped us, and for how many seconds."""
        return [_told(self._read(stat)) for stat in self._stats]

    def _read(self, stat: int) -> Throttled | None:
        with suppress(OSError):
            return parse_throttled(os.pread(stat, LONGEST_STAT_BYTES, 0).decode("ascii", "replace"))
        return None


def _told(throttled: Throttled | None) -> list[float] | None:
    return None if throttled is None else [throttled.periods, throttled.stopped_periods, throttled.stopped_s]


def _card_reader(uuid: str | None, stack: ExitStack) -> Callable[[bool], Readings]:
    """What reads the GPU. One that fails, at once or later, is a problem line, and is not read any more."""
    if uuid is None:
        return lambda seldom: {}
    from experiments.base.errors import ExperimentError
    from experiments.watch.sampled_card import open_card  # needs pynvml, which takes its time to import

    read: Callable[[bool], Readings] | None = None

    def read_while_it_works(seldom: bool) -> Readings:
        nonlocal read
        try:
            return read(seldom) if read else {}
        except ExperimentError as error:
            read = None
            _print_problem(f"no GPU telemetry from here on: {error}")
            return {}

    try:
        read = stack.enter_context(open_card(uuid))
    except ExperimentError as error:
        _print_problem(f"no GPU telemetry: {error}")
    return read_while_it_works


def _cpu_clock_s(pid: int) -> float:
    """CPU time of all threads of a process, to the nanosecond: /proc tells hundredths of a second.

    The kernel makes the number of that clock from the pid (clock_getcpuclockid(3) does just this).
    """
    return time.clock_gettime((~pid << 3) | 2)


def _parent(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - in a hurry
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0


def _input_ends_before(due_s: float) -> bool:
    """Waits until `due_s`, or less where standard input ends: nothing is ever written to it."""
    readable, _, _ = select.select([0], [], [], max(0.0, due_s - time.monotonic()))
    return bool(readable)


def _print_problem(problem: str) -> None:
    _print({"at_s": time.monotonic(), "problem": problem})


def _print(line: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")  # at once: what is there counts even if we are killed


if __name__ == "__main__":
    main()
