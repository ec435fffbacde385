"""What a GPU can be cut into: shares under MPS, or slices under MIG."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Protocol

from experiments.base.errors import UsageError


class Card(Protocol):
    """One kind of GPU. `sizes` ascend, the last is the whole; `processes` may share a part, each with a copy
    of its one model."""

    @property
    def sizes(self) -> tuple[int, ...]: ...

    @property
    def processes(self) -> tuple[int, ...]: ...

    def layouts(self) -> tuple[tuple[int, ...], ...]:
        """The sizes that fit on a GPU together, ascending; only those that nothing more fits beside."""
        ...

    def holds(self, sizes: Sequence[int]) -> bool:
        """Whether parts of these sizes fit on one GPU."""
        ...


@dataclass(frozen=True, slots=True)
class Shares:
    """Active thread percentages under MPS: at most `parts_per_gpu`, of 100 % together.

    The defaults are those of the gpu-let paper (Choi et al., USENIX ATC 2022).
    """

    sizes: tuple[int, ...] = (20, 40, 50, 60, 80, 100)
    parts_per_gpu: int = 2
    processes: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise UsageError(f"shares ascend and differ, unlike {', '.join(map(str, self.sizes))}")
        if not all(1 <= size <= 100 for size in self.sizes):
            raise UsageError(f"a share is 1 to 100 %, unlike one of {', '.join(map(str, self.sizes))}")
        if self.parts_per_gpu < 1:
            raise UsageError(f"{self.parts_per_gpu} parts hold nothing: use 1 or more for a GPU")

    def layouts(self) -> tuple[tuple[int, ...], ...]:
        return _layouts(self, self.parts_per_gpu)

    def holds(self, sizes: Sequence[int]) -> bool:
        return len(sizes) <= self.parts_per_gpu and sum(sizes) <= 100


PAPER_SHARES = Shares()


@dataclass(frozen=True, slots=True)
class Slices:
    """MIG instances of an A100 or H100, in slices of seven: where each may begin is NVIDIA's MIG user guide's
    (table of placements). Inside one, up to five processes share it under MPS."""

    sizes: tuple[int, ...] = (1, 2, 3, 4, 7)
    processes: tuple[int, ...] = (1, 2, 3, 4, 5)

    def layouts(self) -> tuple[tuple[int, ...], ...]:
        return _layouts(self, 7)

    def holds(self, sizes: Sequence[int]) -> bool:
        return _placed(tuple(sorted(sizes, reverse=True)), 0)


# Size of an instance: where it may begin, and how many of the eight memory slices it takes from there.
_STARTS = {7: (0,), 4: (0,), 3: (4, 0), 2: (0, 2, 4), 1: (6, 5, 4, 3, 2, 1, 0)}
_SPAN = {7: 8, 4: 4, 3: 4, 2: 2, 1: 1}


@cache
def _placed(sizes: tuple[int, ...], taken: int) -> bool:
    """Whether instances, the largest first, find room beside the slots taken (bits)."""
    if not sizes:
        return True
    room = (1 << _SPAN[sizes[0]]) - 1
    return any(
        not taken & (room << start) and _placed(sizes[1:], taken | (room << start))
        for start in _STARTS[sizes[0]]
    )


@cache
def _layouts(card: Card, most: int) -> tuple[tuple[int, ...], ...]:
    fitting = [
        sizes
        for count in range(1, most + 1)
        for sizes in combinations_with_replacement(card.sizes, count)
        if card.holds(sizes)
    ]
    return tuple(
        sizes for sizes in fitting if not any(card.holds((*sizes, another)) for another in card.sizes)
    )
