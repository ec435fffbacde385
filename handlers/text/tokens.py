"""Token ids of texts of different lengths -> one packed tensor of padded parts, and back to the texts' order.

Pure arithmetic on lengths, and one tensor. What a forward pass makes of the parts is bert.py's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from handlers.model.shapes import fit


@dataclass(frozen=True, slots=True)
class Part:
    """Texts that share a forward pass: `rows` of `length` tokens, the first `texts` of them real."""

    texts: int
    rows: int
    length: int
    padded: bool


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Texts as token ids, ready for the model.

    `packed` holds the parts one after the other, int64, each of rows x (1 + length): how many tokens of the
    row are real, then its ids. One tensor, so that one copy takes all of it to the device. Text i of the
    batch is row `places[i]` of the parts' texts laid end to end; None where that is i. `types`, of the same
    layout, says to which text of a pair each token belongs (0 or 1); None where there is no pair.
    """

    packed: torch.Tensor
    parts: tuple[Part, ...]
    places: tuple[int, ...] | None
    types: torch.Tensor | None = None

    def matrices(self) -> Iterator[tuple[Part, torch.Tensor]]:
        """Each part with its rows x (1 + length) of `packed`."""
        return zip(self.parts, self._cut(self.packed), strict=True)

    def types_of_matrices(self) -> Iterator[torch.Tensor]:
        """The rows x length of `types` for each part."""
        assert self.types is not None
        return (matrix[:, 1:] for matrix in self._cut(self.types))

    def _cut(self, packed: torch.Tensor) -> Iterator[torch.Tensor]:
        start = 0
        for part in self.parts:
            end = start + part.rows * (1 + part.length)
            yield packed[start:end].view(part.rows, 1 + part.length)
            start = end


@dataclass(frozen=True, slots=True)
class TokenShapes:
    """How batches are shaped. Where `batch_sizes` and `lengths` are given, parts are padded to those, and no
    row ever to more than `max_tokens`.

    `overhead_tokens`: a forward pass costs, beyond its tokens, about as much as so many more of them.
    """

    pad_id: int
    max_tokens: int
    multiple_of: int = 1
    batch_sizes: tuple[int, ...] | None = None
    lengths: tuple[int, ...] | None = None
    overhead_tokens: float = float("inf")

    def padded_length(self, tokens: int) -> int:
        """How long the rows are in which the longest text has so many tokens."""
        if self.lengths and tokens <= self.lengths[-1]:
            return fit(tokens, self.lengths)
        return min(self.max_tokens, -(-tokens // self.multiple_of) * self.multiple_of)

    def examples(self) -> list[torch.Tensor]:
        """A matrix of padding for each shape to be made ready; a small one where none is asked for."""
        return [
            torch.tensor([[length, *[self.pad_id] * length]] * rows)
            for rows in self.batch_sizes or (1,)
            for length in self.lengths or (8,)
        ]


def pack(texts: Sequence[Sequence[int]], shapes: TokenShapes) -> TokenBatch:
    """The token ids of each text -> a TokenBatch on the host."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    groups = split([shapes.padded_length(len(texts[i])) for i in order], shapes)
    if len(groups) == 1:
        order = list(range(len(texts)))
    parts, numbers, start = [], [], 0
    for size in groups:
        part, flat = _part([texts[i] for i in order[start : start + size]], shapes)
        parts.append(part)
        numbers += flat
        start += size
    places = None if len(groups) == 1 else tuple(np.argsort(order).tolist())
    return TokenBatch(torch.tensor(numbers), tuple(parts), places)


def pack_pairs(
    texts: Sequence[Sequence[int]], types: Sequence[Sequence[int]], shapes: TokenShapes
) -> TokenBatch:
    """The same with the type of each token."""
    packed_types = pack(types, replace(shapes, pad_id=0)).packed
    return replace(pack(texts, shapes), types=packed_types)


def split(lengths: Sequence[int], shapes: TokenShapes) -> list[int]:
    """Ascending padded lengths -> the sizes of the groups in which they cost least together.

    The cost of a group is its rows x its longest length, padding included, plus the overhead of one more
    forward pass. That attention grows with the square of the length is left out: at these lengths (up to
    512) the matrix products dominate, and they grow with the tokens.
    """
    most = shapes.batch_sizes[-1] if shapes.batch_sizes else len(lengths)
    wasted = len(lengths) * lengths[-1] - sum(lengths)
    if wasted <= shapes.overhead_tokens and len(lengths) <= most:
        return [len(lengths)]  # one more pass would cost more than all padding does
    tokens = np.asarray(lengths)
    cheapest, starts = np.zeros(len(lengths) + 1), [0] * (len(lengths) + 1)
    overhead = min(shapes.overhead_tokens, 1e9)
    for end in range(1, len(lengths) + 1):
        first = max(0, end - most)
        costs = cheapest[first:end] + overhead + np.arange(end - first, 0, -1) * tokens[end - 1]
        best = int(costs.argmin())
        cheapest[end], starts[end] = costs[best], first + best
    return _sizes(starts)


def _sizes(starts: Sequence[int]) -> list[int]:
    """Where the last group of the first n texts starts, for each n -> the groups' sizes."""
    sizes, end = [], len(starts) - 1
    while end:
        sizes.append(end - starts[end])
        end = starts[end]
    return sizes[::-1]


def _part(texts: Sequence[Sequence[int]], shapes: TokenShapes) -> tuple[Part, list[int]]:
    """One group -> its part and its rows, flat. Rows that only fill the shape count as full, so that their
    attention, which nobody looks at, has something to attend to."""
    length = shapes.padded_length(max(map(len, texts)))
    rows = fit(len(texts), shapes.batch_sizes)
    flat: list[int] = []
    for ids in texts:
        flat += [len(ids), *ids, *[shapes.pad_id] * (length - len(ids))]
    flat += [length, *[shapes.pad_id] * length] * (rows - len(texts))
    padded = shapes.batch_sizes is not None or any(len(ids) < length for ids in texts)
    return Part(len(texts), rows, length, padded), flat
