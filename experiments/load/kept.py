"""The answers that a load keeps: what was answered to which request, and how often.

A model that is asked the same again answers nearly the same, so each different answer is kept once. Here:
keeping them, and bringing those of several processes together. Not here: whether they are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_BYTES = 16 * 2**20
"""Of different answers. Beyond it known ones are counted on, and each request still gets its first."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back with a status of success, the warm-up's included.

    `of` maps the number of a body in the pool to its different answers, and how often each came. `unkept`
    answers were different from all of these, and too many to be kept.
    """

    of: Mapping[int, Mapping[bytes, int]]
    unkept: int = 0


@dataclass(slots=True)
class Kept:
    """The answers to each request, as they come in: `of` has rendered requests as its keys."""

    of: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    unkept: int = 0
    room_bytes: int = MOST_BYTES

    def add(self, request: bytes, answer: bytes) -> None:
        """Notes an answer to `request`."""
        known = self.of.get(request)
        if known is None:
            known = self.of[request] = {}
        count = known.get(answer)
        if count is not None:
            known[answer] = count + 1
        elif not known or len(answer) <= self.room_bytes:
            known[answer] = 1
            self.room_bytes -= len(answer)
        else:
            self.unkept += 1


def told(kept: Kept, requests: Sequence[bytes]) -> tuple[list[list[int]], bytes]:
    """As a message between processes has it: [number of the request, count, length] of each answer, and the
    answers one after another."""
    numbers = numbers_of(requests)
    rows, blob = [], bytearray()
    for request, known in kept.of.items():
        for answer, count in known.items():
            rows.append([numbers[request], count, len(answer)])
            blob += answer
    return rows, bytes(blob)


def heard(rows: Iterable[Sequence[int]], blob: bytes, unkept: int, requests: Sequence[bytes]) -> Kept:
    """The inverse of `told`."""
    kept, begin = Kept(unkept=unkept), 0
    for number, count, length in rows:
        kept.of.setdefault(requests[number], {})[blob[begin : begin + length]] = count
        begin += length
    return kept


def together(parts: Iterable[Kept]) -> Kept:
    """What several processes kept, as one."""
    all_of_them = Kept()
    for part in parts:
        all_of_them.unkept += part.unkept
        for request, known in part.of.items():
            sums = all_of_them.of.setdefault(request, {})
            for answer, count in known.items():
                sums[answer] = sums.get(answer, 0) + count
    return all_of_them


def by_number(kept: Kept, requests: Sequence[bytes]) -> Answers:
    """The answers by the numbers of their requests, in that order."""
    numbers = numbers_of(requests)
    of = {numbers[request]: known for request, known in kept.of.items()}
    return Answers(dict(sorted(of.items())), kept.unkept)


def numbers_of(requests: Sequence[bytes]) -> dict[bytes, int]:
    """The place of each request; of one that is there twice, the first."""
    return {request: number for number, request in reversed(list(enumerate(requests)))}
