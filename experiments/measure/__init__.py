"""A plan carried out: trials on real servers, each on disk before the next. What comes next: search/.

The only part that touches the world. What the results say is found in verdict/.
"""

from experiments.measure.campaign import carry_out
from experiments.measure.measure import measure
from experiments.measure.next_trials import due
from experiments.measure.progress import Progress

__all__ = ["Progress", "carry_out", "due", "measure"]
