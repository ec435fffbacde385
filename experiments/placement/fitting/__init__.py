"""Interference fitted to what was measured of batches side by side.

Here: measured pairs, what describes a batch, the fit. Not here: the interface and the paper's model as it is
published (../interference.py), nor how good the fits are (benchmarks/interference.py).
"""

from experiments.placement.fitting.fit import KINDS, fit, predicted
from experiments.placement.fitting.measured import interference_of
from experiments.profile.neighbours import Batch, Pair

__all__ = ["KINDS", "Batch", "Pair", "fit", "interference_of", "predicted"]
