"""A round of a profile, taken again where other programs were busy meanwhile."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil

from experiments.ceilings.bare import BareModel
from experiments.load.goodput.others import MOST_TAKES, Others

T = TypeVar("T")


def undisturbed(take: Callable[[], T], models: Sequence[BareModel], warn: Callable[[str], None]) -> T:
    """What `take` measures of these models; where others stayed busy, what it did last, with a warning."""
    others = Others(lambda: [psutil.Process(pid) for model in models for pid in model.pids])
    for _ in range(MOST_TAKES):
        with others.counted():
            found = take()
        busy = others.told()
        if busy is None:
            return found
    warn(f"{busy} in each of {MOST_TAKES} takes of a round: what it says may be too slow")
    return found
