"""What runs that were killed with SIGKILL have left on this machine: each kind is cleared by who makes it."""

from experiments.base.owned import remove_those_of_the_dead
from experiments.serving import instances
from experiments.serving.arms import NOWHERE
from mps import control
from mps.card import Gpu, put_back_after_the_dead


def clear_leftovers(card: Gpu | None) -> None:
    """Ends the servers and daemons of dead runs, removes their folders, puts the compute mode of `card` back.

    Before anything is looked at: their workers would hold memory of the card, and be in the way of MPS.
    Raises GpuError where the mode can't be put back.
    """
    instances.remove_leftovers()
    control.remove_leftovers()
    remove_those_of_the_dead(NOWHERE)
    if card is not None:
        put_back_after_the_dead(card)
