"""Which factors of the rates to try, and what follows from the looks at them. Pure.

Factors lie on a grid, each RESOLUTION times the one before; 1 is the plan's own rates. A look at a factor
holds when every model keeps its bound. First the limit is bracketed by doubling and halving, then bisected,
a look at a time; a look that fails is taken again, since what else the machine does can only make it fail.
Last, the two factors around the limit are each looked at until the majority of `looks` is certain.
"""

from dataclasses import dataclass, field

RESOLUTION = 1.07
DOUBLE = 10  # steps: 1.07 ** 10 is 1.97
LOWEST, HIGHEST = -100, 100  # factors of 1/868 and 868
TAKES = 2  # of a look that fails, while the limit is sought
LOOKS = 5


def factor(step: int) -> float:
    """That of a step of the grid."""
    return float(RESOLUTION**step)


@dataclass(frozen=True, slots=True)
class Decision:
    """The highest step that holds and the one above it that fails, with how many of the looks at each held.

    `holds` is None where none does; then the figures are those of the lowest step that was tried.
    """

    holds: int | None
    held: tuple[int, int]
    fails: int
    failed_held: tuple[int, int]

    @property
    def factor(self) -> float:
        """The highest factor of the rates that keeps every bound; 0 where none does."""
        return 0.0 if self.holds is None else factor(self.holds)


@dataclass(slots=True)
class Search:
    """Asks for a step, is told whether it held, until there is a decision: `next_step` is None then."""

    looks: int = LOOKS
    seen: dict[int, list[bool]] = field(default_factory=dict)

    def note(self, step: int, held: bool) -> None:
        """What a look at a step came to."""
        self.seen.setdefault(step, []).append(held)

    @property
    def next_step(self) -> int | None:
        """The step to look at now."""
        low, high = self._bracket()
        if isinstance(low, int) and isinstance(high, int):
            if high - low > 1:
                return (low + high) // 2
            for step in (low, high):
                if step >= LOWEST and self._decided(step) is None:
                    return step
            return None
        if high is None:
            return 0 if low is None else min(HIGHEST, low + DOUBLE)
        return max(LOWEST, high - DOUBLE)

    @property
    def decision(self) -> Decision | None:
        """What was found; None while there is a step to look at."""
        if self.next_step is not None:
            return None
        low, high = self._bracket()
        assert low is not None
        assert high is not None
        return Decision(low if low >= LOWEST else None, self._counted(low), high, self._counted(high))

    def _bracket(self) -> tuple[int | None, int | None]:
        """The highest step that is taken to hold below the lowest that is taken to fail; beyond the grid's
        ends everything fails above, and nothing is asked below."""
        judged = {step: self._taken_to_hold(step) for step in self.seen}
        fails = [step for step, holds in judged.items() if holds is False]
        high = min(fails, default=None)
        below = [step for step, holds in judged.items() if holds and (high is None or step < high)]
        low = max(below, default=None)
        if low == HIGHEST:
            high = HIGHEST + 1
        if high == LOWEST:
            low = LOWEST - 1
        return low, high

    def _taken_to_hold(self, step: int) -> bool | None:
        """By the majority, or so far by a single look; None where a failed look is to be taken again."""
        if (decided := self._decided(step)) is not None:
            return decided
        seen = self.seen[step]
        if any(seen):
            return sum(seen) * 2 >= len(seen)
        return False if len(seen) >= min(TAKES, self.looks) else None

    def _decided(self, step: int) -> bool | None:
        """What the majority of all looks at a step says, once no more looks can change it."""
        if step > HIGHEST:
            return False
        seen = self.seen.get(step, [])
        held, failed = sum(seen), len(seen) - sum(seen)
        if held * 2 > self.looks:
            return True
        return False if failed * 2 >= self.looks else None

    def _counted(self, step: int) -> tuple[int, int]:
        seen = self.seen.get(step, [])
        return sum(seen), len(seen)
