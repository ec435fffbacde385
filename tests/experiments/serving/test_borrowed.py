"""A control daemon that somebody else started, where it can't be used for a proof."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.serving import borrowed
from experiments.serving.arms import _With
from mps.control import RunningDaemon
from mps.control.daemon import Client
from tests.support import begun

CARD: Any = SimpleNamespace(uuid="GPU-cb1213a3-d6a4-be7f-0000-000000000000", index=1, name="NVIDIA H200")
CARDS = [CARD]
UNLIMITED = SimpleNamespace(
    default_thread_percentage=lambda: 100.0, servers=lambda: [7], thread_percentage=lambda server: 100.0
)


def test_one_of_protocol_3_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_MPS_PROTOCOL_VERSION", "3")
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert "protocol 3" in line
    assert line.endswith("drop --use-running-daemon, so that one of ours is started")


def test_one_of_another_pid_namespace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    there = RunningDaemon(0, "root", Path("/tmp/nvidia-mps"))
    monkeypatch.setattr(borrowed, "running_daemon", lambda: there)
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert "another pid namespace" in line


@pytest.fixture
def daemon_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has a program with these words and variables listen in the daemon's place; it answers nothing."""
    with ExitStack() as stack:

        def start(*words: str, **variables: str) -> None:
            program = stack.enter_context(
                subprocess.Popen(["/bin/sh", "-c", "read _", *words], env=variables, stdin=subprocess.PIPE)
            )
            stack.callback(program.kill)
            begun.shown(program, variables=bool(variables))
            there = RunningDaemon(program.pid, "somebody", Path("/tmp/nvidia-mps"))
            monkeypatch.setattr(borrowed, "running_daemon", lambda: there)
            monkeypatch.setattr(borrowed, "gpus", lambda: CARDS)
            monkeypatch.setattr(borrowed, "mps_daemon", lambda **_: nullcontext(UNLIMITED))

        yield start


@pytest.mark.parametrize(
    ("words", "variables"), [(["-d", "-p", "3"], {}), (["-d"], {"CUDA_MPS_PROTOCOL_VERSION": "3"})]
)
def test_one_that_was_started_for_protocol_3_is_recognised(
    daemon_with: Callable[..., None], words: list[str], variables: dict[str, str]
) -> None:
    daemon_with(*words, **variables)
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert "speaks protocol 3" in line


def test_one_that_was_started_for_static_partitions_is_refused(daemon_with: Callable[..., None]) -> None:
    daemon_with("-d", "-S")
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert line.startswith("the MPS daemon was started for static partitions (-S)")


@pytest.mark.parametrize(
    ("visible", "number"),
    [(None, 1), ("1", 0), ("0,1", 1), ("GPU-cb1213a3", 0), ("GPU-ffff, GPU-cb1213a3-d6a4", 1)],
)
def test_its_clients_count_the_cards_that_it_has(
    daemon_with: Callable[..., None], visible: str | None, number: int
) -> None:
    daemon_with(**({"CUDA_VISIBLE_DEVICES": visible} if visible else {}))
    assert list(borrowed.obstacles_of_running(CARD, None)) == []
    assert borrowed.number_for_clients(CARD) == number


def test_one_that_leaves_out_our_card_is_refused(daemon_with: Callable[..., None]) -> None:
    daemon_with(CUDA_VISIBLE_DEVICES="GPU-ffff")
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert line.startswith("the MPS daemon was started with CUDA_VISIBLE_DEVICES=GPU-ffff, which leaves out")


def test_numbers_in_cudas_own_order_mean_other_cards_where_cards_differ(
    daemon_with: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.experiments.serving.test_borrowed.CARDS", [SimpleNamespace(name="T4"), CARD])
    daemon_with(CUDA_VISIBLE_DEVICES="1")
    (line,) = borrowed.obstacles_of_running(CARD, None)
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in line
    daemon_with(CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert list(borrowed.obstacles_of_running(CARD, None)) == []


def test_a_worker_on_another_card_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.serving.arms.processes", lambda card: [])
    clients = [
        Client(11, 5, "GPU-cb1213a3-d6a4-be7f", "python"),
        Client(12, 5, "GPU-00000000-1111", "python"),
    ]
    daemon: Any = SimpleNamespace(clients=lambda: clients)
    arm = _With(CARD, daemon, {})
    assert arm.problems([11]) == []
    assert arm.problems([11, 12]) == [
        f"worker 12 is on GPU-00000000-1111 by the MPS daemon, not on {CARD.uuid}"
    ]
