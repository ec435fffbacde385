"""A room of one's own for a process and what it starts: its network, /dev/shm and mounts are nobody else's.

So all of a machine's ports can be taken, a disk can be full, and whatever is left behind is ours. For root
alone: elsewhere kills that need it are left out, and of sockets and shared memory nothing is said.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

NEW_MOUNTS, NEW_NETWORK = 0x00020000, 0x40000000  # of <sched.h>
SET_FLAGS = 0x8914  # of <linux/sockios.h>
UP_AND_RUNNING = 0x41  # of <net/if.h>
PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
SHARED_MEMORY = Path("/dev/shm")
FEW_PORTS = (61_000, 61_015)


def enter() -> bool:
    """Moves this process into a new room; whether that could be done. What it starts later is in it too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() != 0 or libc.unshare(NEW_MOUNTS | NEW_NETWORK) != 0:
        return False
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "tmpfs", str(SHARED_MEMORY)],
    ):
        subprocess.run(command, check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))
    return True


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """`folder` is a file system of its own, of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(folder: Path, spare_bytes: int) -> Iterator[None]:
    """The file system of `folder` has no more than `spare_bytes` left."""
    balloon = folder / "balloon"
    piece = b"\0" * 2**16
    with suppress(OSError), balloon.open("wb", buffering=0) as file:
        while True:
            file.write(piece)
    with suppress(OSError):
        os.truncate(balloon, max(0, balloon.stat().st_size - spare_bytes))
    try:
        yield
    finally:
        balloon.unlink(missing_ok=True)


@contextmanager
def ports_taken(free: int) -> Iterator[None]:
    """Of the ports that the system gives, only so many are left."""
    before = PORTS.read_text("ascii")
    first, last = FEW_PORTS
    PORTS.write_text(f"{first} {last}", "ascii")
    try:
        with ExitStack() as taken:
            for port in range(first, last + 1 - free):
                with suppress(OSError):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
            yield
    finally:
        PORTS.write_text(before, "ascii")


def listening() -> list[str]:
    """The addresses that somebody in this room listens on."""
    return [
        f"{each.laddr.ip}:{each.laddr.port}"
        for each in psutil.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]


def clear_shared_memory() -> None:
    """Removes what a kill has left there, so that the next one is not taken for who left it."""
    for path in SHARED_MEMORY.iterdir():
        path.unlink(missing_ok=True)


def shared_memory() -> list[str]:
    """What lies in this room's shared memory."""
    return sorted(path.name for path in SHARED_MEMORY.iterdir())
