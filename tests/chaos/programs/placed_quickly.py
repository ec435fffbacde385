"""Runs `mps.place` with short looks at each batch, on a machine where others keep the generator waiting."""

from experiments.placement.deployment import live
from mps.place import app
from tests.chaos.programs.on_a_busy_machine import be_patient

if __name__ == "__main__":
    be_patient()
    live.BATCHES_S = 0.5
    live.BATCHES_WARM_UP_S = 0.1
    live.MOST_LATE = 100.0
    app(prog_name="mps.place")
