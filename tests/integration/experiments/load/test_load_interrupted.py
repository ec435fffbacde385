"""A signal ends the load generator within a second, whatever it is at."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from experiments.base.paths import ROOT
from tests.support.own_time import OwnTime, ends_in_s
from tests.support.small_server import always, http, serving

pytestmark = [pytest.mark.integration, pytest.mark.wide]

SOON_S = 1.0
LONGEST_START_S = 200.0  # where other programs have the cores


@pytest.fixture
def full() -> Iterator[str]:
    """The URL of a server that takes no more connections: the next ones wait for ever."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def ended(url: str, number: signal.Signals, *options: str) -> tuple[int, float, str, int]:
    """Of a load that got a signal once it had begun to connect: exit code, seconds until then (its own: other
    programs may keep it waiting for a core), stderr, and how many clients are left."""
    command = [sys.executable, "-m", "experiments.load", url, "--duration", "60", "--warm-up", "30", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + LONGEST_START_S
    while not (clients := connecting(psutil.Process(process.pid))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    took_s = ends_in_s(process, number, [client.pid for client in clients])
    _, said = process.communicate(timeout=30)
    clock = OwnTime([client.pid for client in clients])
    while (left := [each for each in clients if runs(each)]) and clock.passed_s() < SOON_S:
        time.sleep(0.05)
    return process.returncode, took_s, said, len(left)


def connecting(process: psutil.Process) -> list[psutil.Process]:
    """The processes that put the load on: none until all of them have connections."""
    clients = process.children() or [process]
    return clients if all(client.net_connections("tcp") for client in clients) else []


def runs(process: psutil.Process) -> bool:
    """Whether it is more than an entry that nobody has asked for since it ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, ()), (signal.SIGTERM, ("--processes", "2"))],
    ids=["one", "several"],
)
def test_while_connecting(full: str, number: signal.Signals, options: tuple[str, ...]) -> None:
    code, took_s, said, left = ended(full, number, "--connections", "500", *options)
    assert (code, said) == (130, "interrupted: nothing was measured\n")
    assert (took_s < SOON_S, left) == (True, 0)


def test_a_client_does_not_outlive_who_started_it_while_connecting(full: str) -> None:
    code, _, _, left = ended(full, signal.SIGKILL, "--connections", "500", "--processes", "2")
    assert (code, left) == (-signal.SIGKILL, 0)


@pytest.mark.parametrize("options", [("--processes", "2"), ("--rate", "20")], ids=["closed", "open"])
def test_while_warming_up(options: tuple[str, ...]) -> None:
    with serving(always(http())) as server:
        code, took_s, said, left = ended(server.url, signal.SIGINT, *options)
    assert (code, said) == (130, "interrupted: nothing was measured\n")
    assert (took_s < SOON_S, left) == (True, 0)
