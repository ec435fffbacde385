"""Workers that are to be killed while they are at work leave MPS first."""

import os
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.serving.arms import RELEASE_TIMEOUT_S, _With, released
from mps.control import MpsError


def test_what_is_broken_off_leaves_mps_and_what_ends_well_is_left_alone() -> None:
    asked: list[tuple[list[int], float]] = []
    daemon: Any = SimpleNamespace(terminate_clients=lambda pids, within_s: asked.append((pids, within_s)))
    arm = _With(SimpleNamespace(), daemon, {})  # type: ignore[arg-type]
    with subprocess.Popen(["sleep", "60"]) as worker:
        with released(arm, os.getpid()):
            pass
        assert asked == []
        with pytest.raises(KeyboardInterrupt), released(arm, os.getpid()):
            raise KeyboardInterrupt
        worker.kill()
    ((pids, within_s),) = asked
    assert worker.pid in pids
    assert within_s == RELEASE_TIMEOUT_S


def test_a_daemon_that_does_not_answer_keeps_nobody_from_leaving() -> None:
    def silent(pids: list[int], within_s: float) -> None:
        raise MpsError("does not answer")

    daemon: Any = SimpleNamespace(terminate_clients=silent)
    _With(SimpleNamespace(), daemon, {}).release([1])  # type: ignore[arg-type]
