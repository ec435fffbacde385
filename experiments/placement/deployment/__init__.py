"""A placement under TorchServe: who sits where, the files that serve it, the proof that it keeps its bounds.

Not here: how it is found, checked and simulated.
"""

from experiments.placement.deployment.files import write_deployment, write_placement
from experiments.placement.deployment.live import Asked, Live, Proven, prove
from experiments.placement.deployment.proof import write_proof
from experiments.placement.deployment.seats import Seat, seats
from experiments.placement.deployment.written import write_what_serves

__all__ = [
    "Asked",
    "Live",
    "Proven",
    "Seat",
    "prove",
    "seats",
    "write_deployment",
    "write_placement",
    "write_proof",
    "write_what_serves",
]
