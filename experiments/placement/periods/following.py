"""Three ways through a trace: each period after the one before, each anew, the peak's throughout."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.base.errors import ExperimentError
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.periods.keeping import fewest_moves
from experiments.placement.periods.moves import Step, kept, matched, step, trimmed, used
from experiments.placement.periods.trace import Asked, Period, asked_in, peak
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.search import fewest

FOLLOWED, ANEW, HELD = "followed", "anew", "held"
NOTHING = Placement(())
RESERVES = (1.5, 1.25, 1.1, 1.05)
"""Times the rates that are tried: a part filled to its rate keeps few bounds when arrivals come in bursts."""


@dataclass(frozen=True, slots=True)
class Course:
    """One way through a trace: the placement of each period (workloads by the demand's numbers, a place for
    each GPU), and what it took to get there from the one before; nothing at the start."""

    name: str
    placements: tuple[Placement, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What it took at each period's start."""
        pairs = zip(self.placements, self.placements[1:], strict=False)
        return (Step(0, 0), *(step(before, after) for before, after in pairs))

    @property
    def gpus(self) -> tuple[int, ...]:
        """GPUs in use in each period."""
        return tuple(used(placement) for placement in self.placements)


def courses(demand: Problem, periods: Sequence[Period], gpus: int) -> tuple[Course, Course, Course]:
    """The three of them, of which the first two use `gpus` at most. Every placement passes the checker.

    Where it takes no more GPUs, and no more moves, each is placed for up to the highest of RESERVES times the
    rates: what is there anyway is spread. Raises UnplaceableError where a period's rates can't be placed.
    """
    search = _Search()
    anew, followed = [], [NOTHING]
    for number, period in enumerate(periods):
        asked = asked_in(demand, period.rates_rps)
        try:
            anew.append(_anew(search, asked, gpus))
        except UnplaceableError as error:
            raise UnplaceableError(f"from {period.start_s:g} s on: {error}") from error
        followed.append(_follow(search, asked, followed[-1], anew[-1], gpus) if number else anew[0])
        _check(asked, anew[-1], gpus)
        _check(asked, followed[-1], gpus)
    held = _anew(search, asked_in(demand, peak(periods)), None)
    return (
        Course(FOLLOWED, tuple(followed[1:])),
        Course(ANEW, tuple(anew)),
        Course(HELD, (held,) * len(periods)),
    )


class _Search:
    """What the search finds on as many GPUs as that takes, remembered: rates come again."""

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[Workload, ...], float], tuple[Problem, Placement]] = {}

    def __call__(self, problem: Problem, reserve: float = 1.0) -> tuple[Problem, Placement]:
        """The problem at `reserve` times its rates, and its placement."""
        key = problem.workloads, reserve
        if key not in self.known:
            more = problem.times(reserve) if reserve != 1 else problem
            self.known[key] = more, fewest(more, prove=False).placement
        return self.known[key]


def _anew(search: _Search, asked: Asked, gpus: int | None) -> Placement:
    """What the search places, whatever was there before."""
    if asked.problem is None:
        return NOTHING
    _, found = search(asked.problem)
    if gpus is not None and used(found) > gpus:
        fewest(asked.problem, gpus)  # raises, with how few there could be
    for reserve in RESERVES:
        _, spread = search(asked.problem, reserve)
        if used(spread) <= used(found):
            return asked.to_demand(spread)
    return asked.to_demand(found)


def _follow(search: _Search, asked: Asked, before: Placement, anew: Placement, gpus: int) -> Placement:
    """What follows the placement before it, on no more GPUs than `anew`."""
    if asked.problem is None:
        return NOTHING
    old = asked.of_demand(before)
    # With a reserve the search, which doesn't prove everything, may find fewer GPUs than without one.
    found = min(search(asked.problem)[1], asked.of_demand(anew), key=used)
    after = following(asked.problem, old, found, gpus)
    for reserve in RESERVES:
        more, found = search(asked.problem, reserve)
        if used(found) > used(after):
            continue
        spread = following(more, old, found, gpus)
        if step(old, spread).moves <= step(old, after).moves:
            return asked.to_demand(spread)
    return asked.to_demand(after)


def _check(asked: Asked, placement: Placement, gpus: int) -> None:
    if asked.problem and (broken := violations(asked.of_demand(placement), asked.problem, gpus)):
        raise ExperimentError(f"a period broke a rule, which is a fault of this program: {broken[0]}")


def following(problem: Problem, old: Placement, found: Placement, gpus: int) -> Placement:
    """A placement that passes the checker on no more GPUs than `found` has (which does, too), with few moves.

    The old one where it will do. Else the better of two: that of the fewest moves that an integer program
    finds, and `found` put on the old GPUs where that takes fewest. What stood there and is in nobody's way
    stays.
    """
    if used(old) <= used(found) and not violations(old, problem, gpus):
        return old
    candidates = [matched(old, found, gpus)]
    if (kept_most := fewest_moves(problem, old, found, gpus)) is not None:
        candidates.append(kept_most)
    return min(
        (_with_what_stands(problem, old, placement, gpus) for placement in candidates),
        key=lambda placement: (used(placement), (taken := step(old, placement)).moves, taken.changed),
    )


def _with_what_stands(problem: Problem, old: Placement, new: Placement, gpus: int) -> Placement:
    """The new placement with the old parts that still have room on GPUs that are in use anyway."""
    placed = list(new.gpus)
    for place, parts in enumerate(old.gpus[: len(placed)]):
        for number, part in enumerate(parts):
            if not placed[place] or number in kept(parts, placed[place]):
                continue
            more = [*placed[:place], (*placed[place], part), *placed[place + 1 :]]
            if not violations(Placement(tuple(more)), problem, gpus):
                placed = more
    return trimmed(placed)
