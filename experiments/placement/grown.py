"""Room that a placement leaves on a GPU goes to the parts on it: it costs nothing, and batches are faster."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.placement.checker import latencies_ms, violations
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem


def grown(problem: Problem, placement: Placement) -> Placement:
    """The same residents in the same batches on parts at least as large; the placement itself where that
    would break a rule (larger neighbours may press harder)."""
    larger = Placement(tuple(_grown(problem, parts) for parts in placement.gpus))
    return placement if larger == placement or violations(larger, problem) else larger


def _grown(problem: Problem, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts of one GPU, cut so that the one that gains least gains most."""
    by_size = sorted(range(len(parts)), key=lambda place: parts[place].size)
    before = [parts[place].size for place in by_size]
    after = [
        sizes
        for sizes in problem.rules.card.layouts()
        if len(sizes) == len(before) and all(new >= old for new, old in zip(sizes, before, strict=True))
    ]
    if not after:
        return parts
    chosen = max(
        after, key=lambda sizes: (sorted(new / old for new, old in zip(sizes, before, strict=True)), sizes)
    )
    resized = list(parts)
    for place, size in zip(by_size, chosen, strict=True):
        resized[place] = replace(parts[place], size=size)
    return tuple(_in_time(problem, parts, resized, place) for place in range(len(parts)))


def _in_time(problem: Problem, before: Sequence[Part], after: Sequence[Part], place: int) -> Part:
    """A part with the cycle that its batches take now, as far above them as it was; at most what it was."""
    cycle_ms = (
        before[place].duty_ms
        * sum(latencies_ms(place, after, problem))
        / sum(latencies_ms(place, before, problem))
    )
    return replace(after[place], duty_ms=min(before[place].duty_ms, cycle_ms))
