"""A plan carried out: trials on real servers, each on disk before the next, and the race that ends early.

The only part that touches the world. What the results say is found in verdict/.
"""

from experiments.measure.campaign import carry_out, due
from experiments.measure.measure import measure
from experiments.measure.progress import Progress

__all__ = ["Progress", "carry_out", "due", "measure"]
