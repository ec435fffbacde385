"""What decides how many instances there shall be."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from experiments.base.errors import UsageError
from experiments.fleet.scaling.decisions import Control, Seen
from experiments.fleet.scaling.thresholds import Thresholds


class Policy(Protocol):
    """Whoever tells how many instances a moment takes, with fractions, and how it is controlled."""

    @property
    def name(self) -> str: ...

    @property
    def control(self) -> Control: ...

    def wanted(self, seen: Seen) -> float: ...


@dataclass(frozen=True, slots=True)
class OnRate:
    """By requests a second, with thresholds from what was measured."""

    thresholds: Thresholds
    name: str = "measured thresholds"

    @property
    def control(self) -> Control:
        return self.thresholds.control

    def wanted(self, seen: Seen) -> float:
        return self.thresholds.wanted(seen.rate_rps)


@dataclass(frozen=True, slots=True)
class OnUtilisation:
    """By CPU utilisation, at a target in percent, as Kubernetes does by default.

    Those that load count as idle, as the autoscaler takes them: what the others do is spread over all. Raises
    UsageError for a target that is no share.
    """

    target_percent: float
    control: Control = field(default_factory=Control)

    def __post_init__(self) -> None:
        if not 0 < self.target_percent <= 100:
            raise UsageError(f"a target of {self.target_percent:g} % is none: give above 0, 100 at most")

    @property
    def name(self) -> str:
        return f"CPU at {self.target_percent:g} %"

    def wanted(self, seen: Seen) -> float:
        if seen.utilisation is None:
            return seen.current
        return seen.ready * seen.utilisation * 100 / self.target_percent


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always so many."""

    instances: int
    control: Control = field(default_factory=Control)

    @property
    def name(self) -> str:
        return f"fixed, {self.instances}"

    def wanted(self, seen: Seen) -> float:
        return self.instances


def fixed_for(peak_rps: float, capacity_rps: float) -> Fixed:
    """The fleet that serves a peak all day."""
    return Fixed(max(1, ceil(peak_rps / capacity_rps - 1e-9)))
