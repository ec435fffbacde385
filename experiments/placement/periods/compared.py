"""Ways through a trace played with Poisson arrivals: what each costs, and which bounds it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.base.errors import UsageError
from experiments.placement.periods.following import Course, courses
from experiments.placement.periods.moves import meanwhile, step
from experiments.placement.periods.trace import Period
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.simulation import Outcome, Phase, Played, outcomes, poisson, simulate
from experiments.placement.simulation.arrivals import Times

MAKE_PART_S = 12.0
"""Seconds that it takes to make a part: process, kernels, models, warm-up. The gpu-let paper (Choi et al.,
USENIX ATC 2022) tells 10 to 15."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """A course and what came of it: seconds that GPUs were in use, summed over them; the outcome of each
    workload over the whole trace; requests of each period, and how many of these kept their bounds."""

    course: Course
    gpu_s: float
    outcomes: tuple[Outcome, ...]
    requests: tuple[int, ...]
    within: tuple[int, ...]

    @property
    def attainment(self) -> float:
        """The part of all requests that kept their bounds; 1 where there were none."""
        return sum(self.within) / sum(self.requests) if any(self.requests) else 1.0

    @property
    def moves(self) -> int:
        return sum(each.moves for each in self.course.steps)

    @property
    def changed(self) -> int:
        return sum(each.changed for each in self.course.steps)


@dataclass(frozen=True, slots=True)
class Making:
    """How parts are made: each takes `part_s`, all of a period's at once. `ahead`: they are made before the
    period that needs them, as rates are known beforehand; else from its start on, as they change."""

    part_s: float = MAKE_PART_S
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class _Handover:
    """From `begins_s` to `ends_s` this serves, then the period's own placement."""

    serving: Placement
    begins_s: float
    ends_s: float


def compare(
    demand: Problem, periods: Sequence[Period], gpus: int, making: Making = Making(), seed: int = 0
) -> list[Crossed]:
    """The three courses on `gpus`, found and played (see `courses` and `cross`, also for what is raised)."""
    _check(demand, periods, making)
    return cross(demand, periods, courses(demand, periods, gpus), making, seed)


def cross(
    demand: Problem,
    periods: Sequence[Period],
    courses: Sequence[Course],
    making: Making = Making(),
    seed: int = 0,
) -> list[Crossed]:
    """Plays the courses, each with the same arrivals, at the rates of the periods.

    A part that is made serves nothing yet, and the old placement does (see moves.meanwhile); what the making
    takes from those at work isn't simulated. What leaves serves on for the demand's longest bound, so that
    nobody is left behind. A GPU is in use from when parts on it are made until the last has left.

    Raises UsageError where a period is too short for that.
    """
    _check(demand, periods, making)
    arrivals = [
        _arrivals(number, periods, seed + number * len(periods)) for number in range(len(demand.workloads))
    ]
    return [_crossed(demand, periods, course, making, arrivals) for course in courses]


def _check(demand: Problem, periods: Sequence[Period], making: Making) -> None:
    if not 0 <= making.part_s < float("inf"):
        raise UsageError(f"making a part takes 0 s or more, not {making.part_s:g} s")
    least_s = making.part_s + _longest_s(demand)
    for period in periods:
        if period.lasts_s <= least_s:
            raise UsageError(
                f"the period from {period.start_s:g} s on lasts {period.lasts_s:g} s, making a part and the "
                f"longest bound {least_s:g} s: give longer periods, or less for making a part"
            )


def _arrivals(number: int, periods: Sequence[Period], seed: int) -> Times:
    return np.concatenate(
        [
            period.start_s + poisson(period.rates_rps[number], period.lasts_s, seed + place)
            for place, period in enumerate(periods)
        ]
    )


def _crossed(
    demand: Problem,
    periods: Sequence[Period],
    course: Course,
    making: Making,
    arrivals: Sequence[Times],
) -> Crossed:
    phases = [Phase(periods[0].start_s, course.placements[0])]
    gpu_s = sum(period.lasts_s * gpus for period, gpus in zip(periods, course.gpus, strict=True))
    for number, period in enumerate(periods[1:], 1):
        before, after = course.placements[number - 1], course.placements[number]
        begins_s = period.start_s
        if handover := _handover(demand, before, after, begins_s, making):
            phases.append(Phase(handover.begins_s, handover.serving))
            there = _in_use(handover.serving) | _in_use(after)
            gpu_s += (begins_s - handover.begins_s) * len(there - _in_use(before))
            gpu_s += (handover.ends_s - begins_s) * len(there - _in_use(after))
            begins_s = handover.ends_s
        if phases[-1].placement != after:
            phases.append(Phase(begins_s, after))
    played = simulate(demand, phases, arrivals)
    requests, within = _by_period(demand, periods, played)
    return Crossed(
        course, gpu_s, tuple(outcomes(demand.workloads, played, periods[0].start_s)), requests, within
    )


def _handover(
    demand: Problem, before: Placement, after: Placement, start_s: float, making: Making
) -> _Handover | None:
    """None where nothing is made and nothing leaves."""
    made = step(before, after).moves > 0
    leaves = step(after, before).moves > 0  # on the way back something would have to be made
    if not made and not leaves:
        return None
    ready_s = start_s + making.part_s if made and not making.ahead else start_s
    gone_s = start_s + _longest_s(demand) if leaves else start_s
    begins_s = start_s - making.part_s if made and making.ahead else start_s
    return _Handover(meanwhile(demand, before, after), begins_s, max(ready_s, gone_s))


def _by_period(
    demand: Problem, periods: Sequence[Period], played: Played
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Requests that came in each period, and how many of them kept their bounds."""
    edges = [period.start_s for period in periods[1:]]
    requests: npt.NDArray[np.int64] = np.zeros(len(periods), dtype=np.int64)
    within = requests.copy()
    for workload, arrived, answered in zip(
        demand.workloads, played.arrived_s, played.answered_s, strict=True
    ):
        period = np.searchsorted(edges, arrived, side="right")
        good = 1000 * (answered - arrived) <= workload.slo_ms * (1 + 1e-9)
        requests += np.bincount(period, minlength=len(periods))
        within += np.bincount(period[good], minlength=len(periods))
    return tuple(requests.tolist()), tuple(within.tolist())


def _in_use(placement: Placement) -> set[int]:
    return {number for number, parts in enumerate(placement.gpus) if parts}


def _longest_s(demand: Problem) -> float:
    return max(workload.slo_ms for workload in demand.workloads) / 1000
