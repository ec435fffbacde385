"""Where the trials of a plan are measured when that is not here: on the cards of a cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from experiments.bench import Bench
from experiments.measure.progress import Progress
from experiments.plan import Plan

CLUSTER = "cluster of "
"""What the device of a results folder begins with that was measured so: the kind of the cards follows."""


class Elsewhere(Protocol):
    """A place that carries out plans."""

    @property
    def device(self) -> str:
        """What environment.json has as the device: CLUSTER and the kind of all cards."""
        ...

    @property
    def told(self) -> Mapping[str, Any]:
        """What environment.json has of the place, in place of what it would have of this machine."""
        ...

    def carry_out(self, plan: Plan, bench: Bench, folder: Path, progress: Progress) -> None:
        """As `campaign.carry_out`."""
        ...
