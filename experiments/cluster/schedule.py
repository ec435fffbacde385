"""Which card measures what next: pure, told of what happens, asked what to do. No clock, no network.

The rules: a group of cells stays on one card; the longest ones begin first, so that the end is even; a card
begins with its check, the plan's twin, before it gets a group; what a lost card had begun goes to another
one, anew; a group that cost two cards is nobody's any more, as then the cause may be the group.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from experiments.cluster.groups import Group
from experiments.plan import Cell

MOST_LOSSES = 2  # cards that a group may cost


@dataclass(frozen=True, slots=True)
class Work:
    """What a card does next: its check, where `group` is None."""

    group: Group | None = None


class Schedule:
    """The groups that wait, and who is at which. Every call costs the logarithm of the groups at most."""

    def __init__(self, groups: Sequence[Group], cards: Collection[str], checked: Iterable[str] = ()) -> None:
        """`checked` are cards whose check is measured already."""
        self._cards = dict.fromkeys(cards)
        self._checked = set(checked)
        self._waiting: list[tuple[float, int, Group]] = []
        self._own: dict[str, deque[Group]] = {}
        self._reserved: dict[str, Group] = {}
        self._at: dict[str, Work] = {}
        self._losses: dict[tuple[Cell, ...], int] = {}
        self._count = 0
        for group in groups:
            if group.begun_on in self._cards:
                self._own.setdefault(group.begun_on or "", deque()).append(group)
            else:
                self._wait(replace(group, begun_on=None))

    @property
    def cards(self) -> list[str]:
        """Those that are not lost."""
        return list(self._cards)

    @property
    def at_work(self) -> dict[str, Work]:
        """What each card that has work is doing."""
        return dict(self._at)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, and nobody at work."""
        return not (self._at or self._waiting or self._reserved or self._own)

    def next_for(self, card: str) -> Work | None:
        """What an idle card does now; None where nothing is left for it, or the card is lost."""
        if card in self._at or card not in self._cards:
            return None
        group = self._reserved.pop(card, None) or self._take(card)
        if group is None:
            return None
        if card in self._checked:
            self._at[card] = Work(group)
        else:
            self._reserved[card] = group
            self._at[card] = Work()
        return self._at[card]

    def done(self, card: str) -> Work:
        """The card has carried out what it had; returns what that was."""
        work = self._at.pop(card)
        if work.group is None:
            self._checked.add(card)
        return work

    def lost(self, card: str, done: Collection[Cell] = ()) -> Group | None:
        """The card is gone, or of no use: its groups go to others, without the families of cells that it has
        `done`. Returns what it was at, where that has now cost too many cards; it waits no more."""
        self._cards.pop(card, None)
        work = self._at.pop(card, None)
        for group in [*self._own.pop(card, ()), *filter(None, [self._reserved.pop(card, None)])]:
            self._wait(replace(group, begun_on=None))
        if work is None or work.group is None:
            return None
        group = work.group.without(done)
        if group is None:
            return None
        self._losses[group.cells] = self._losses.get(group.cells, 0) + 1
        if self._losses[group.cells] >= MOST_LOSSES:
            return group
        self._wait(group)
        return None

    def _take(self, card: str) -> Group | None:
        if own := self._own.get(card):
            group = own.popleft()
            if not own:
                del self._own[card]
            return group
        return heapq.heappop(self._waiting)[2] if self._waiting else None

    def _wait(self, group: Group) -> None:
        heapq.heappush(self._waiting, (-group.takes_s, self._count, group))
        self._count += 1
