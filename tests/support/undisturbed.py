"""Runs a door in a process of its own, on a machine that other tests keep busy: they count as no disturbance.

    python -m tests.support.undisturbed mps.run ...

What a busy machine does to a sweep is tested where nothing is left to chance, with made-up telemetry.
"""

import runpy
import sys

from experiments.load.goodput import others

if __name__ == "__main__":
    others.MOST_OTHER_CPU = 100.0
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
