"""Runs a door on a machine that others keep busy: they are no disturbance, and servers have time to start.

python -m tests.chaos.programs.on_a_busy_machine mps.run ...
"""

import runpy
import sys

from experiments.load.goodput import others
from experiments.serving.torchserve import running, start
from experiments.watch import telemetry

PATIENCE_S = 600.0


def be_patient() -> None:
    """From here on, in this process."""
    others.MOST_OTHER_CPU = 100.0
    start.START_TIMEOUT_S = running.WORKERS_TIMEOUT_S = telemetry.START_TIMEOUT_S = PATIENCE_S


if __name__ == "__main__":
    be_patient()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
