"""What one instance does within a bound: on a card, or on CPUs alone; and how its card is shared."""

from dataclasses import dataclass
from typing import Literal

from experiments.fleet.demand import Demand
from experiments.fleet.service import Sharing

Way = Literal["whole", "time-slicing", "MPS", "shares", "MIG", "CPU"]
WAYS: tuple[Way, ...] = ("whole", "time-slicing", "MPS", "shares", "MIG")
"""How a card is used: by one worker, by several in turns, by several under MPS, with shares, cut by MIG."""

SHARING: dict[Way, Sharing] = {
    "whole": "whole",
    "time-slicing": "time-slicing",
    "MPS": "mps-in-pod",
    "shares": "mps-in-pod",
    "MIG": "mig",
    "CPU": "whole",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """A value with the range that the measurement's runs leave it: low <= likely <= high."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class Offer:
    """A card, or an instance on CPUs, that was measured, predicted or stated to keep a bound.

    `rps` are its requests/s: the median and the range of the runs. On a `card` one instance has the whole of
    it, on which its `workers` share by `way`; or `instances_per_card` have `share_percent` of it each.
    `gpu_memory_bytes` is what all on the card take of its memory, None where nobody knows; `vcpus` and
    `memory_bytes` are what an instance takes of the host. `latency_ms` is at the demand's percentile, None
    where that is only promised to be within. `special` is what else is unusual about its settings: its
    engine, its precision, the load that it was measured under.
    """

    model: str
    way: Way
    card: str | None
    rps: Spread
    vcpus: float
    memory_bytes: int
    source: str
    workers: int = 1
    batch_size: int = 1
    batch_delay_ms: int = 10
    latency_ms: float | None = None
    gpu_memory_bytes: int | None = None
    instances_per_card: int = 1
    share_percent: int | None = None
    special: tuple[str, ...] = ()

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        share = f" at {self.share_percent} %" if self.share_percent else ""
        return ", ".join([f"{workers}{share}", f"batch size {self.batch_size}", *self.special])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a way can't be had for a demand, where it was measured: it doesn't keep the bound, and the like."""

    way: Way
    card: str | None
    why: str


def stated(demand: Demand) -> list[Offer]:
    """What the demand itself says that instances do: nothing is known of its spread."""
    return [
        Offer(
            model=demand.model,
            way="whole" if each.card else "CPU",
            card=each.card,
            rps=Spread(each.capacity_rps, each.capacity_rps, each.capacity_rps),
            vcpus=each.vcpus,
            memory_bytes=each.memory_bytes,
            source=f"stated, not measured{f': {each.note}' if each.note else ''}",
        )
        for each in demand.stated
    ]
