"""Which of several that are about as good: TorchServe with torch, unless the change is worth it.

A tie is what the runs of a pair, by themselves, don't tell apart. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from experiments.plan import Cell
from experiments.plan.servers import TORCHSERVE
from experiments.verdict.stats import Comparison, Median, compare

TORCH = "torch"
LITTLE = 1.05
NAMES = {TORCHSERVE: "TorchServe", "triton": "Triton", "litserve": "LitServe", "bentoml": "BentoML"}


class Rateable(Protocol):
    """A configuration with the figures of its runs."""

    @property
    def cell(self) -> Cell: ...
    @property
    def figures(self) -> tuple[float, ...]: ...
    @property
    def median(self) -> Median: ...


T = TypeVar("T", bound=Rateable)


@dataclass(frozen=True, slots=True)
class Stack:
    """A server, and what the model runs on behind it; None is the archive's."""

    server: str
    engine: str | None
    precision: str | None

    def __str__(self) -> str:
        """'onnxruntime in int8 under Triton'; 'the model' where engine and precision are the archive's."""
        calculated = " in ".join(filter(None, [self.engine or "the model", self.precision]))
        return f"{calculated} under {NAMES.get(self.server, self.server)}"

    @property
    def rank(self) -> tuple[bool, bool]:
        """The smaller, the more of it is what one has anyway."""
        return self.server != TORCHSERVE, self.engine not in (None, TORCH)


def stack_of(cell: Cell) -> Stack:
    """A cell without its settings."""
    return Stack(cell.server, cell.engine, cell.precision)


def settled(best: T, rivals: Sequence[T], confidence: float, noise_floor: float) -> T:
    """`best`, or the one of its rivals that it ties with and that is nearer to TorchServe with torch; of
    several equally near ones, that with the highest median."""
    own = stack_of(best.cell).rank
    nearer = [
        rival
        for rival in rivals
        if stack_of(rival.cell).rank < own
        and is_tie(
            compare(best.figures, rival.figures, confidence=confidence, noise_floor=noise_floor), noise_floor
        )
    ]
    return min(nearer, key=lambda each: (stack_of(each.cell).rank, -each.median.median), default=best)


def is_tie(compared: Comparison, noise_floor: float) -> bool:
    """Whether the first of a pair, by itself, is not seen to be better by more than noise; of runs that are
    too few to show it, by less than LITTLE."""
    if compared.verdict_alone == "not enough runs" and compared.ratio < LITTLE:
        return True
    return compared.verdict_alone != "better" and compared.low <= noise_floor


def worth(passed_over: Rateable, best: Rateable, confidence: float) -> str:
    """What the change to a configuration that was passed over would be worth, in a sentence."""
    compared = compare(passed_over.figures, best.figures, confidence=confidence)
    percent = (compared.ratio - 1) * 100
    faster = f"{percent:.2g} % more" if percent > 0 else "no more"
    why = "not shown by so few runs" if compared.verdict_alone == "not enough runs" else "within noise"
    return f"{stack_of(passed_over.cell)} reaches {faster}, {why}: stay with {_what_stays(passed_over, best)}"


def _what_stays(passed_over: Rateable, best: Rateable) -> str:
    there, here = stack_of(passed_over.cell), stack_of(best.cell)
    if there.server != here.server and there.engine == here.engine:
        return NAMES.get(here.server, here.server)
    return str(here)
