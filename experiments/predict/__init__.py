"""What a sweep would measure, computed from its ceilings: a queueing model of TorchServe for every cell.

From a batch's time in the bare model and the empty handler's time around it (costs.py) a simulation of
batches being gathered and worked on (simulation.py) gives each cell's throughput, percentiles and filled
batches (predictor.py), the best by a goal (best.py) and their files (files.py); beside.py lays them beside
what was measured. Nothing here measures: ceilings/ does. Placements on shared GPUs have a simulation of their
own, placement/simulation/.
"""

from experiments.predict.predicted import Predicted, Predictor
from experiments.predict.predictor import predictor

__all__ = ["Predicted", "Predictor", "predictor"]
