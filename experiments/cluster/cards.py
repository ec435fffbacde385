"""What the driver needs of whoever brings its words to the cards: Ray, or a test's own."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from experiments.bench import Bench
from experiments.cluster.messages import Event, Hello, Measure
from experiments.plan import Plan


class Cards(Protocol):
    """The cards of a cluster, by names that are theirs as long as it stands."""

    @property
    def names(self) -> Sequence[str]:
        """All that were found, lost ones too."""
        ...

    @property
    def hellos(self) -> Mapping[str, Hello]:
        """What each card said of itself when it came."""
        ...

    @property
    def load_hellos(self) -> Mapping[str, Hello]:
        """The same of what sends their loads, by its node and cores; empty where each does that itself."""
        ...

    def equip(self, plan: Plan, bench: Bench) -> None:
        """Brings the archive to every machine, plan and bench to every card. Raises ExperimentError."""
        ...

    def give(self, card: str, work: Measure) -> None:
        """Has an idle card measure; returns at once."""
        ...

    def happened(self, longest_s: float) -> Sequence[tuple[str, Event]]:
        """What cards have told since the last call; waits so long for the first of it."""
        ...
