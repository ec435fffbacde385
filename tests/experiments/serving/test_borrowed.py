"""A control daemon that somebody else started, where it can't be used for a proof."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.serving import borrowed
from experiments.serving.arms import _With
from mps.control import RunningDaemon
from mps.control.daemon import Client

CARD: Any = SimpleNamespace(uuid="GPU-cb1213a3-d6a4-be7f-0000-000000000000")


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
