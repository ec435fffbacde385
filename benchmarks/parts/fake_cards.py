"""Cards that only say that they measure: for what their driver costs, and what it does when some die.

A trial takes no time, and finds the same on each card, but for `rps_of`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.bench import Bench
from experiments.cluster.messages import Doing, Done, Event, Failed, Finished, Hello, Lost, Measure
from experiments.plan import Cell, Plan, Trial
from experiments.results import TrialResult

ENVIRONMENT: dict[str, Any] = {
    "cpu": {"model": "none", "cores": 1, "logical_cores": 1},
    "cpu_quota_cores": None,
    "memory_bytes": 2**30,
    "gpus": [],
    "gpu_is_stood_in_for": False,
    "nvml": None,
    "versions": {},
}


@dataclass
class FakeCards:
    """See experiments/cluster/cards.py. A card of `dies_after` is lost when it has told so many trials; one
    of `fails` can't measure at all. `given` is what each was asked to do."""

    plan: Plan
    names: Sequence[str]
    rps_of: Callable[[str, Cell], float] = lambda card, cell: 100.0
    requests: bytes | None = None
    dies_after: Mapping[str, int] = field(default_factory=dict)
    fails: Mapping[str, Failed] = field(default_factory=dict)
    given: list[tuple[str, Measure]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._queues: dict[str, deque[Event]] = {}
        self._told = dict.fromkeys(self.names, 0)
        self._trials: dict[Cell, list[Trial]] = {}
        for trial in self.plan.trials():
            self._trials.setdefault(trial.cell, []).append(trial)

    @property
    def hellos(self) -> Mapping[str, Hello]:
        return {card: Hello(ENVIRONMENT, None) for card in self.names}

    @property
    def load_hellos(self) -> Mapping[str, Hello]:
        return {}

    def equip(self, plan: Plan, bench: Bench) -> None:
        """There is nothing to bring."""

    def give(self, card: str, work: Measure) -> None:
        self.given.append((card, work))
        done = {(each.trial.cell, each.trial.run) for each in work.earlier}
        events: deque[Event] = deque()
        for trial in (each for cell in work.cells for each in self._trials[cell]):
            if (trial.cell, trial.run) not in done:
                events.append(Doing(trial, f"run {trial.run}"))
                events.append(Finished(a_result(trial, self.rps_of(card, trial.cell)), self.requests))
        events.append(Done())
        if card in self.fails:
            events = deque([self.fails[card]])
        self._queues[card] = events

    def happened(self, longest_s: float) -> Sequence[tuple[str, Event]]:
        """The next event of every card that has one."""
        told: list[tuple[str, Event]] = []
        for card, events in list(self._queues.items()):
            event = events.popleft()
            if isinstance(event, Finished):
                if self._told[card] == self.dies_after.get(card, -1):
                    event, events = Lost("its node died"), deque()
                self._told[card] += 1
            told.append((card, event))
            if not events:
                del self._queues[card]
        return told


def a_result(trial: Trial, rps: float) -> TrialResult:
    """A valid result without anything that a report would show beside its figures."""
    return TrialResult(
        trial=trial,
        started_at="2026-11-26T12:00:00.000+00:00",
        throughput_rps=rps,
        latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0, "mean": 1.2},
        answers=int(rps),
        window_s=1.0,
        statuses={"200": int(rps)},
        lost_connections=0,
        client_cpu_us_per_request=None,
        torch_threads=1,
        worker_pids=[1],
        mps_clients=[],
        counted=None,
        gpu_memory_before_bytes=None,
        telemetry=None,
    )
