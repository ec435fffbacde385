"""Static partitions: multiprocessors that belong to the clients of one partition alone (driver 590 on).

A daemon has them when it was started for them (`mps_daemon(static_partitions=True)`); a client without one
can't use the GPU then, and shares in percent are ignored. This was never run on such a driver: what the
program answers is known from NVIDIA's document and from programs that read it, which differ; both forms are
read.
https://docs.nvidia.com/deploy/mps/latest/common-tasks.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from mps.control.program import MpsError

PARTITION_VARIABLE = "CUDA_MPS_SM_PARTITION"
CREATED = re.compile(r"Partition (\S+) created\.?")
BARE_ID = re.compile(r"\S+")
CLIENTS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a GPU. `device` is the GPU's UUID, or as much of it as the daemon shows."""

    device: str
    id: str
    chunks: int
    multiprocessors: int
    has_clients: bool

    @property
    def env(self) -> dict[str, str]:
        """What a client that is to be in it needs in its environment before its CUDA context is created."""
        return {PARTITION_VARIABLE: f"{self.device}/{self.id}"}


@dataclass(frozen=True, slots=True)
class Room:
    """What partitions have taken of a GPU and what is left for more."""

    device: str
    free_chunks: int
    used_chunks: int
    free_multiprocessors: int
    used_multiprocessors: int


class Partitions:
    """The static partitions of one daemon. `ask` says a command to it and returns the lines of its answer;
    `refuse` raises UsageError where its settings are not ours to change."""

    def __init__(self, ask: Callable[[str], list[str]], refuse: Callable[[], None]) -> None:
        self._ask = ask
        self._refuse = refuse

    def all(self) -> list[Partition]:
        """Every partition that there is. Raises MpsError where the daemon has none to give."""
        return parse_lspart(self._ask("lspart"))[1]

    def room(self, uuid: str) -> Room:
        """What is free and what is used of a GPU. Raises MpsError where the daemon does not list it, as
        before its first server is up."""
        for room in parse_lspart(self._ask("lspart"))[0]:
            if uuid.startswith(room.device):
                return room
        raise MpsError(f"the MPS daemon lists no room for partitions on {uuid}: start its server first")

    def add(self, uuid: str, chunks: int) -> Partition:
        """Makes a partition of so many chunks (of 2, 4 or 8 multiprocessors each, by the GPU's kind).

        Raises UsageError where it is not to be had, MpsError where the daemon does not do what it says.
        """
        self._refuse()
        if chunks < 1:
            raise UsageError(f"a static partition has 1 or more chunks, not {chunks}")
        said = self._ask(f"sm_partition add {uuid} {chunks}")
        made = parse_created(said)
        if made is None:
            raise UsageError(
                f"no static partition of {chunks} chunks on {uuid}: {_reason(said)}; ask for fewer chunks, "
                "or remove a partition"
            )
        for each in self.all():
            if uuid.startswith(each.device) and made.startswith(each.id) and each.chunks == chunks:
                return Partition(uuid, made, each.chunks, each.multiprocessors, each.has_clients)
        raise MpsError(
            f"the MPS daemon says that it made partition {made} of {chunks} chunks, but does not list it"
        )

    def remove(self, partition: Partition) -> None:
        """Takes a partition away. Raises UsageError where it stays, as with clients in it."""
        self._refuse()
        before = self._listed(partition)
        said = self._ask(f"sm_partition rm {partition.device} {partition.id}")
        if before and self._listed(partition) >= before:
            raise UsageError(
                f"the static partition {partition.id} stays: {_reason(said)}; end its clients first"
            )

    def _listed(self, partition: Partition) -> int:
        """The lines that may be of a partition: its names may be shortened there."""
        return sum(
            partition.device.startswith(each.device) and partition.id.startswith(each.id)
            for each in self.all()
        )


def too_old(control: Path) -> str:
    """What to say of a program that has no static partitions."""
    return (
        f"{control} is too old for static partitions (-S): they came with driver 590; upgrade NVIDIA's "
        "driver, or take shares in percent (--thread-percentage)"
    )


def _reason(said: list[str]) -> str:
    return " ".join(said) or "no reason was given"


def parse_created(lines: list[str]) -> str | None:
    """The id in the answer to `sm_partition add`: 'Partition UUID/ID created', 'UUID/ID' or 'ID', where an ID
    may hold slashes itself. None where nothing was made."""
    for line in lines:
        found = CREATED.fullmatch(line)
        named = found[1] if found else line if BARE_ID.fullmatch(line) else None
        if named is not None:
            return named.partition("/")[2] if named.startswith("GPU-") else named
    return None


def parse_lspart(lines: list[str]) -> tuple[list[Room], list[Partition]]:
    """The answer to `lspart`: a heading of two lines, then a line for each GPU and each partition.

    Columns: GPU, partition, free and used chunks, free and used multiprocessors, clients. What has no meaning
    in a line is '-' or left out; without it a GPU has four numbers, and a partition its id, two numbers and
    whether there are clients.
    Raises MpsError for a line that is neither.
    """
    rooms, partitions = [], []
    for line in lines:
        device, *words = [word for word in line.split() if word != "-"] or [""]
        if not device.startswith("GPU-"):
            continue
        numbers = [int(word) for word in words if word.isdigit()]
        if len(numbers) == 4 and words[0].isdigit():
            rooms.append(Room(device, *numbers))
        elif len(words) == 4 and words[-1].lower() in CLIENTS and words[1].isdigit() and words[2].isdigit():
            has_clients = CLIENTS[words[-1].lower()]
            partitions.append(Partition(device, words[0], int(words[1]), int(words[2]), has_clients))
        else:
            raise MpsError(f"the MPS daemon's answer to `lspart` can't be read: {line!r}")
    return rooms, partitions
