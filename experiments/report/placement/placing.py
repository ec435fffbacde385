"""What the page of a placement is about, and of it what there is room for."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.placement.card import Slices
from experiments.placement.deployment.live import Proven
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.simulation import Outcome
from experiments.verdict.words import OF_HUNDRED, counted

MOST_PANELS = 12
"""Of small multiples: so many workloads are drawn, those with the highest rates."""
ELLIPSIS = "\u2026"


@dataclass(frozen=True, slots=True)
class Placing:
    """A placement that `strategy` found on some of `gpus` GPUs, below `at_least` of which there is none, and
    what the simulator expects of it with the arrivals of `seed`.

    `proven` and `measured_on`: what was measured with --run, and where. `planned`: the problem with the rates
    that it was made for, where these are higher.
    """

    problem: Problem
    placement: Placement
    at_least: int
    gpus: int
    strategy: str
    predicted: Sequence[Outcome]
    seed: int = 0
    proven: Proven | None = None
    measured_on: str = ""
    planned: Problem | None = None

    @property
    def asked_rps(self) -> float:
        """Requests a second of all workloads."""
        return sum(workload.rate_rps for workload in self.problem.workloads)

    @property
    def made_for(self) -> Problem:
        """What the strategies are asked: the demand with the same reserve for all."""
        return self.planned or self.problem

    @property
    def expected(self) -> Sequence[Outcome]:
        """What was predicted: of the very requests that were sent, where some were."""
        return self.proven.predicted if self.proven else self.predicted

    @property
    def on_cpu(self) -> bool:
        """Whether it was measured without a GPU, which all of the CPU stood for."""
        return self.proven is not None and self.measured_on.startswith("the CPU")

    def drawn(self) -> list[int]:
        """The workloads that small multiples show, in the demand's order."""
        workloads = self.problem.workloads
        by_rate = sorted(range(len(workloads)), key=lambda index: -workloads[index].rate_rps)
        return sorted(by_rate[:MOST_PANELS])

    def unit(self, size: int) -> str:
        """The size of a part in words: '50 %', '3 slices'."""
        return f"{size}{OF_HUNDRED}" if self.in_percent else counted(size, "slice")

    @property
    def in_percent(self) -> bool:
        """Whether sizes are shares in percent, and not slices."""
        return not isinstance(self.problem.rules.card, Slices)


def clipped(text: str, letters: int) -> str:
    """As much of a name as there is room for, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= letters else text[: max(1, letters - 1)] + ELLIPSIS
