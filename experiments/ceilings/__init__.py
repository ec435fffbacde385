"""What could be reached at most: the bare model, the empty handler, the device's roofline. Measured here.

How they are kept: results/ceilings.py; what is beside them: verdict/summary.py.
"""

from experiments.ceilings.measure import Effort, measure_ceilings

__all__ = ["Effort", "measure_ceilings"]
