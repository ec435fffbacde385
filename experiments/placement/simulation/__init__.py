"""A placement played through: arrivals, batches as TorchServe forms them, turns, neighbours.

Not here: how a placement is found or checked.
"""

from experiments.placement.simulation.arrivals import bursty, constant, poisson
from experiments.placement.simulation.outcome import Outcome, outcome, outcomes
from experiments.placement.simulation.simulator import Phase, Played, simulate, simulate_seats

__all__ = [
    "Outcome",
    "Phase",
    "Played",
    "bursty",
    "constant",
    "outcome",
    "outcomes",
    "poisson",
    "simulate",
    "simulate_seats",
]
