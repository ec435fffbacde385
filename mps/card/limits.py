"""What MPS allows on a card, and what speaks against measuring both arms on it."""

from collections.abc import Collection
from pathlib import Path

import psutil

from mps.card.device import EXCLUSIVE_PROCESS, PROHIBITED, Gpu, compute_mode, processes, read

PID_NAMESPACE = Path("/proc/self/ns/pid")
FIRST_PID_NAMESPACE = Path("pid:[4026531836]")  # PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h
RESERVED_BYTES = 2**30  # NVML counts what the driver keeps for itself as used: 0.6 GiB of an H200


def max_mps_clients(compute_capability: tuple[int, int], driver: str) -> int:
    """CUDA contexts that one MPS server takes on a device of that compute capability under that driver.

    All from NVIDIA's Multi-Process Service document, 'Client-Server Connection Limits':
    https://docs.nvidia.com/deploy/mps/when-to-use-mps.html#client-server-connection-limits
    They hold for CUDA_DEVICE_MAX_CONNECTIONS at its default of 2; a higher value leaves room for fewer.
    """
    if compute_capability < (7, 0):
        return 16  # 'pre-Volta MPS server', every edition of the document
    if _major(driver) < 590:
        return 48  # 'Volta MPS server', editions up to r580: 'CUDA 13.0 and prior'
    return 60  # edition r590 (December 2025) says raised from 48; CUDA 13.1 came with driver 590


def preflight(card: Gpu, workers: int, *, ours: Collection[int] = ()) -> list[str]:
    """What speaks against measuring `workers` processes on this GPU without and with MPS, a line each.

    `ours`: pids that may use the GPU, such as the server of a daemon that is to be used. Empty: go ahead.
    """
    problems = []
    # NVIDIA's MPS document, 'System Considerations'; Debian's package nvidia-cuda-mps repeats it.
    if card.compute_capability < (3, 5):
        problems.append(
            f"{card.name} has no MPS: that needs compute capability 3.5, this has {_dotted(card)}"
        )
    elif workers > (most := max_mps_clients(card.compute_capability, card.driver)):
        problems.append(
            f"{workers} workers are more than the {most} clients that MPS allows on {card.name} (compute "
            f"capability {_dotted(card)}, driver {card.driver}): use at most --workers {most}"
        )
    if card.mig:
        problems.append(
            f"MIG is on, on {card.name}: its slices are measured one by one, which is not supported; "
            f"`nvidia-smi -i {card.uuid} -mig 0` turns it off"
        )
    mode = compute_mode(card)
    if mode == PROHIBITED or (mode == EXCLUSIVE_PROCESS and workers > 1):
        allows = "no process" if mode == PROHIBITED else "only one process without MPS"
        problems.append(
            f"{card.name} is in compute mode {mode}, which lets {allows} use it: "
            f"`nvidia-smi -i {card.uuid} -c DEFAULT` changes that"
        )
    problems += [
        f"{_described(process.pid)} uses {card.name} and would be measured too: end it or take another GPU"
        for process in processes(card)
        if process.pid not in ours
    ]
    return problems


def in_another_pid_namespace() -> bool:
    """Whether we are in a container, say, that does not show all processes of this machine."""
    try:
        return PID_NAMESPACE.readlink() != FIRST_PID_NAMESPACE
    except OSError:  # no Linux
        return False


def unseen_neighbour(card: Gpu, ours: Collection[int] = ()) -> str | None:
    """What tells that somebody uses a GPU on which we see no process of others; None where nothing does."""
    if any(process.pid not in ours for process in processes(card)):
        return None
    now = read(card)
    signs = [f"is {now.utilisation_percent} % busy"] if now.utilisation_percent else []
    if (used := now.memory_used_bytes) is not None and used > RESERVED_BYTES:
        signs.append(f"has {used / 2**30:.1f} GiB of its memory in use")
    if not signs:
        return None
    return f"{card.name} {' and '.join(signs)} before anything of ours runs, by processes that we don't see"


def _described(pid: int) -> str:
    """A process as a person knows it. It can be gone, another user's, or outside of our container."""
    try:
        process = psutil.Process(pid)
        return f"process {pid} ({process.name()}, user {process.username()})"
    except psutil.Error:
        return f"process {pid}"


def _dotted(card: Gpu) -> str:
    return "{}.{}".format(*card.compute_capability)


def _major(driver: str) -> int:
    first = driver.split(".")[0]
    return int(first) if first.isdigit() else 0
