"""A control daemon that somebody else started: what speaks against measuring with it.

What it allows its clients is in force for ours too, and who they are can only be told where they and we see
the same pids.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from mps.card import Gpu, gpus
from mps.control import PROTOCOL_VARIABLE, MpsDaemon, mps_daemon, protocol, running_daemon

STATIC = {"-S", "--static-partitioning"}
OURS = "drop --use-running-daemon, so that one of ours is started"


def obstacles_of_running(card: Gpu, control: Path | None) -> Iterator[str]:
    """What keeps a proof or a figure from being true with the daemon that runs, a line each.

    Raises MpsError where it does not answer.
    """
    if os.environ.get(PROTOCOL_VARIABLE) == "3":
        yield (
            f"the MPS daemon speaks protocol 3 ({PROTOCOL_VARIABLE}), which has no `ps` to prove an arm "
            f"with: {OURS}"
        )
        return
    there = running_daemon()
    if there is None:
        return  # told by who looks for it
    if not there.pid or _in_another_namespace(there.pid):  # SO_PEERCRED of another pid namespace is 0
        yield (
            "the MPS daemon runs in another pid namespace, so that nobody can tell whether the workers are "
            f"its clients: run in its namespace (hostPID of a pod), or {OURS}"
        )
        return
    if protocol(there, control) == 3:
        yield f"the MPS daemon speaks protocol 3, which has no `ps` to prove an arm with: {OURS}"
        return
    if STATIC.intersection(_words(there.pid)):
        yield (
            "the MPS daemon was started for static partitions (-S), without which no client can use the GPU: "
            f"{OURS}"
        )
        return
    yield from _limited_to_others(card, there.pid)
    with mps_daemon(binary=control, use_running=True, device=card.uuid) as daemon:
        if (percent := _smallest_share(daemon)) < 100:
            yield (
                f"the MPS daemon gives its clients {percent:g} % of the GPU at most, whatever they ask for: "
                f"`set_default_active_thread_percentage 100` there and new servers, or {OURS}"
            )


def number_for_clients(card: Gpu) -> int:
    """The number by which clients of the running daemon find `card`: a daemon that was limited to some GPUs
    counts these alone, and its clients count what it has."""
    there = running_daemon()
    visible = _visible(there.pid) if there and there.pid else None
    return card.index if visible is None else _place(card, visible)


def _limited_to_others(card: Gpu, pid: int) -> Iterator[str]:
    visible = _visible(pid)
    if visible is None:
        return
    shown = f"CUDA_VISIBLE_DEVICES={','.join(visible)}"
    if _place(card, visible) == len(visible):
        yield f"the MPS daemon was started with {shown}, which leaves out {card.name} ({card.uuid}): {OURS}"
    elif visible[0].isdigit() and _counts_by_speed(pid) and len({each.name for each in gpus()}) > 1:
        yield (
            f"the MPS daemon was started with {shown}, numbers in CUDA's own order, which is not NVML's "
            f"where GPUs differ: start it with UUIDs or CUDA_DEVICE_ORDER=PCI_BUS_ID, or {OURS}"
        )


def _place(card: Gpu, visible: list[str]) -> int:
    """Where the card stands in a CUDA_VISIBLE_DEVICES; their number where it does not."""
    for place, entry in enumerate(visible):
        if entry == str(card.index) or (entry.startswith("GPU-") and card.uuid.startswith(entry)):
            return place
    return len(visible)


def _visible(pid: int) -> list[str] | None:
    """The entries of the daemon's CUDA_VISIBLE_DEVICES; None where it has none, or is another user's."""
    given = _environ(pid).get("CUDA_VISIBLE_DEVICES")
    return None if given is None else [entry.strip() for entry in given.split(",")]


def _counts_by_speed(pid: int) -> bool:
    return _environ(pid).get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"


def _words(pid: int) -> list[str]:
    """How it was started; empty where nobody may tell."""
    with suppress(psutil.Error):
        return psutil.Process(pid).cmdline()
    return []


def _environ(pid: int) -> dict[str, str]:
    """Empty where it is another user's, who may keep it."""
    with suppress(psutil.Error):
        return psutil.Process(pid).environ()
    return {}


def _in_another_namespace(pid: int) -> bool:
    """A daemon of a container that we see from outside prints pids that are not ours. False where nobody may
    tell: it is another user's."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    return False


def _smallest_share(daemon: MpsDaemon) -> float:
    """Percent of the multiprocessors that new clients get at most, of its servers and of the next."""
    return min([daemon.default_thread_percentage(), *map(daemon.thread_percentage, daemon.servers())])
