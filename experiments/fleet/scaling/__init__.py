"""A fleet that follows its demand: when instances are added and taken away, simulated and live.

Here: thresholds from what was measured, the autoscaler's rule, policies, demands over time, a simulation, and
the same on the workers of a TorchServe. Not here: how batches form (placement/simulation/), manifests.
"""

from experiments.fleet.scaling.batches import Batches, capacity_rps, linear
from experiments.fleet.scaling.curves import Curve, bursts, daily, day_through, of_periods, ramp
from experiments.fleet.scaling.decisions import Control, Decider, Seen
from experiments.fleet.scaling.live import Lived, live
from experiments.fleet.scaling.outcome import Outcome
from experiments.fleet.scaling.policies import Fixed, OnRate, OnUtilisation, Policy, fixed_for
from experiments.fleet.scaling.shown import table
from experiments.fleet.scaling.simulation import simulate
from experiments.fleet.scaling.thresholds import Thresholds, thresholds

__all__ = [
    "Batches",
    "Control",
    "Curve",
    "Decider",
    "Fixed",
    "Lived",
    "OnRate",
    "OnUtilisation",
    "Outcome",
    "Policy",
    "Seen",
    "Thresholds",
    "bursts",
    "capacity_rps",
    "daily",
    "day_through",
    "fixed_for",
    "linear",
    "live",
    "of_periods",
    "ramp",
    "simulate",
    "table",
    "thresholds",
]
