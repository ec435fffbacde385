"""What came of a policy, in a simulation or live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.fleet.scaling.instances import Life
from experiments.placement.simulation.arrivals import Times


@dataclass(frozen=True, slots=True)
class Outcome:
    """`attainment` is the share of all requests that were answered within the bound, `instance_h` hours of
    instances from when each was asked for until it was gone. `least` and `most` instances there were at a
    time, loading ones among them, and `added` and `removed` ones. `p99_ms` is infinite where requests were
    never answered."""

    policy: str
    requests: int
    attainment: float
    p99_ms: float
    instance_h: float
    least: int
    most: int
    added: int
    removed: int


def outcome_of(
    policy: str, bound_ms: float, arrived_s: Times, answered_s: Times, lives: Sequence[Life], lasts_s: float
) -> Outcome:
    """The outcome of requests that came and were answered then (infinite: never), with instances that lived
    so. What is there at the end is counted until then."""
    latency_ms = 1000 * (answered_s - arrived_s)
    counts = _counts(lives, lasts_s)
    return Outcome(
        policy,
        len(arrived_s),
        float((latency_ms <= bound_ms * (1 + 1e-9)).mean()) if len(arrived_s) else 1.0,
        float(np.percentile(latency_ms, 99, method="lower")) if len(arrived_s) else 0.0,
        sum(max(0.0, min(life.gone_s, lasts_s) - life.begun_s) for life in lives) / 3600,
        min(counts),
        max(counts),
        sum(0 < life.begun_s < lasts_s for life in lives),
        sum(life.leaves_s < lasts_s for life in lives),
    )


def _counts(lives: Sequence[Life], lasts_s: float) -> list[int]:
    """How many instances there shall be, after each change before the end."""
    moments = sorted({at_s for life in lives for at_s in (life.begun_s, life.leaves_s) if at_s < lasts_s})
    return [sum(life.begun_s <= at_s < life.leaves_s for life in lives) for at_s in moments or [0.0]]
