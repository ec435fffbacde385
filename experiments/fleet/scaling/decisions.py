"""From what a metric asks for to a number of instances: Kubernetes' horizontal autoscaler, which KEDA uses.

Every `polling_s` it takes ceil(instances x metric / target), changes nothing within the tolerance, and goes
down only to the highest that it recommended within the stabilisation window
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/). Not here: policies that limit
how many come at once (its default, four or twice as many in 15 s), which small fleets don't feel.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil

from experiments.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Control:
    """How often the autoscaler looks (`polling_s`), over how long it averages (`window_s`), how long it waits
    before it takes instances away (`stabilisation_s`), and what change it ignores (`tolerance`).

    The defaults are Kubernetes' own, but for the window, which is the adapter's: a minute of Prometheus.
    Raises UsageError where they aren't positive.
    """

    polling_s: float = 15.0
    window_s: float = 60.0
    stabilisation_s: float = 300.0
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if not (self.polling_s > 0 and self.window_s > 0 and self.stabilisation_s >= 0):
            raise UsageError(f"{self}: polling and window take more than 0 s, stabilisation not less")
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"a tolerance of {self.tolerance:g} is none: give a share from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Seen:
    """What an autoscaler sees: requests/s of all instances, how busy those that serve are on average (None:
    nobody has measured yet), how many serve, and how many there are, with those that load."""

    rate_rps: float
    utilisation: float | None
    ready: int
    current: int


@dataclass(slots=True)
class Decider:
    """Rounds, ignores, holds and keeps to `least` and `most`; one for each run."""

    control: Control
    least: int
    most: int
    recommended: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now_s: float, wanted: float, current: int) -> int:
        """How many instances there shall be, where the metric asks for `wanted`, with fractions."""
        count = current
        if not current or abs(wanted / current - 1) > self.control.tolerance + 1e-9:
            count = ceil(wanted - 1e-9)
        self.recommended.append((now_s, min(self.most, max(self.least, count))))
        while self.recommended[0][0] < now_s - self.control.stabilisation_s:
            self.recommended.popleft()
        return max(count for _, count in self.recommended)


class Metrics:
    """What an autoscaler's metrics say of a run, from sums that only grow: averages since the last poll that
    was `window_s` ago or longer, or since the start."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.polls: deque[tuple[float, float, float, float]] = deque([(0.0, 0.0, 0.0, 0.0)])

    def note(self, now_s: float, arrived: float, worked_s: float, served_s: float) -> tuple[float, float]:
        """Requests/s, and seconds worked for each second that instances served, both since that poll; `now_s`
        is above 0 and rises."""
        self.polls.append((now_s, arrived, worked_s, served_s))
        while self.polls[1][0] <= now_s - self.window_s + 1e-9:
            self.polls.popleft()
        before = self.polls[0]
        busy = (worked_s - before[2]) / (served_s - before[3]) if served_s > before[3] else 0.0
        return (arrived - before[1]) / (now_s - before[0]), max(0.0, busy)
