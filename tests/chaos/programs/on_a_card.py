"""Runs a door on a machine with a stand-in card and NVIDIA's real control daemon, in a process of its own.

    python -m tests.chaos.programs.on_a_card mps.run ...

Stood in for is what takes a GPU: NVML (tests/stand_ins leads PYTHONPATH), the MPS server, and that the
workers of the program show up: on the card, and among the clients of the daemon in their environment.
"""

import os
import runpy
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil

from mps.card.device import pynvml
from mps.control import PIPE_VARIABLE, MpsDaemon
from mps.control.daemon import Client
from tests.chaos.programs.on_a_busy_machine import be_patient
from tests.stand_ins import UUID, VARIABLE


def _workers() -> Iterator[tuple[int, str]]:
    """The workers on the card, each with its pipe folder."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            on_it = environment.get(VARIABLE) == os.environ[VARIABLE]
            if on_it and "model_service_worker" in " ".join(process.cmdline()):
                yield process.pid, environment.get(PIPE_VARIABLE, "")
        except psutil.Error:  # it ended while we looked
            continue


def _clients(daemon: MpsDaemon) -> list[Client]:
    ours = str(daemon.pipe_folder)
    return [Client(pid, 1, UUID, "python") for pid, pipe_folder in sorted(_workers()) if pipe_folder == ours]


def _on_the_card(card: Any, *, through_mps: bool) -> list[Any]:
    return [
        SimpleNamespace(pid=pid, usedGpuMemory=2**20)
        for pid, pipe_folder in _workers()
        if ("no-mps-" not in pipe_folder) is through_mps
    ]


if __name__ == "__main__":
    be_patient()
    MpsDaemon.clients = _clients  # type: ignore[method-assign]
    MpsDaemon.start_server = lambda self: 1  # type: ignore[method-assign]
    pynvml.nvmlDeviceGetMPSComputeRunningProcesses = lambda card: _on_the_card(card, through_mps=True)
    pynvml.nvmlDeviceGetComputeRunningProcesses = lambda card: _on_the_card(card, through_mps=False)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
