"""Token ids in parts of similar length: nothing is lost, the order comes back, no split is cheaper."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from handlers.text.tokens import TokenBatch, TokenShapes, pack, split

PAD = 0
texts_of_ids = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=12)
sizes = st.sets(st.integers(1, 16), min_size=1).map(sorted).map(tuple)
some_shapes = st.builds(
    TokenShapes,
    pad_id=st.just(PAD),
    max_tokens=st.just(40),
    multiple_of=st.integers(1, 16),
    batch_sizes=st.none() | sizes,
    lengths=st.none() | st.sets(st.integers(1, 40), min_size=1).map(sorted).map(tuple),
    overhead_tokens=st.sampled_from([0, 1, 10, 100, float("inf")]),
)


def unpack(batch: TokenBatch) -> list[list[int]]:
    """The token ids of each text, as the model and `forward` see them."""
    rows = [
        row[1 : 1 + int(row[0])].tolist() for part, matrix in batch.matrices() for row in matrix[: part.texts]
    ]
    return rows if batch.places is None else [rows[place] for place in batch.places]


def cost(groups: list[int], lengths: list[int], overhead: float) -> float:
    """Tokens with padding, and the overhead of a pass for each group."""
    total, end = 0.0, 0
    for size in groups:
        end += size
        total += overhead + size * lengths[end - 1]
    return total


class TestPacking:
    @given(texts=texts_of_ids, shapes=some_shapes)
    def test_keeps_every_text_and_their_order(self, texts: list[list[int]], shapes: TokenShapes) -> None:
        assert unpack(pack(texts, shapes)) == texts

    @given(texts=texts_of_ids, shapes=some_shapes)
    def test_gives_each_part_one_of_the_ready_shapes(
        self, texts: list[list[int]], shapes: TokenShapes
    ) -> None:
        for part, matrix in pack(texts, shapes).matrices():
            assert matrix.shape == (part.rows, 1 + part.length)
            assert part.length <= shapes.max_tokens
            if shapes.batch_sizes:
                assert part.rows in shapes.batch_sizes
            if shapes.lengths:
                assert part.length in shapes.lengths or part.length > shapes.lengths[-1]

    @given(texts=texts_of_ids, shapes=some_shapes)
    def test_says_which_parts_need_a_mask(self, texts: list[list[int]], shapes: TokenShapes) -> None:
        for part, matrix in pack(texts, shapes).matrices():
            full = bool((matrix[:, 0] == part.length).all())
            assert part.padded or (full and part.rows == part.texts)

    def test_pads_one_part_to_its_longest_text_rounded_up(self) -> None:
        texts = [[1, 2], [3, 4, 5]]
        exact = pack(texts, TokenShapes(PAD, 40))
        assert exact.packed.tolist() == [2, 1, 2, PAD, 3, 3, 4, 5]
        assert exact.packed.dtype == torch.int64
        assert [part.length for part in pack(texts, TokenShapes(PAD, 40, multiple_of=8)).parts] == [8]

    def test_never_pads_beyond_what_the_model_can_take(self) -> None:
        assert pack([[1] * 39], TokenShapes(PAD, max_tokens=40, multiple_of=32)).parts[0].length == 40

    def test_fills_a_ready_shape_with_rows_that_can_attend_to_something(self) -> None:
        batch = pack([[7]], TokenShapes(PAD, 40, batch_sizes=(2,), lengths=(3,)))
        assert batch.packed.tolist() == [1, 7, PAD, PAD, 3, PAD, PAD, PAD]

    def test_keeps_texts_together_that_cost_more_apart(self) -> None:
        short_and_long = [[1] * 2, [1] * 30, [1] * 2]
        together = pack(short_and_long, TokenShapes(PAD, 40, overhead_tokens=100))
        apart = pack(short_and_long, TokenShapes(PAD, 40, overhead_tokens=10))
        assert [(part.texts, part.length) for part in together.parts] == [(3, 30)]
        assert [(part.texts, part.length) for part in apart.parts] == [(2, 2), (1, 30)]


class TestSplit:
    @given(
        lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8).map(sorted),
        overhead=st.integers(0, 100),
        most=st.none() | st.integers(1, 8),
    )
    def test_costs_no_more_than_any_other(self, lengths: list[int], overhead: int, most: int | None) -> None:
        shapes = TokenShapes(PAD, 60, batch_sizes=most and (most,), overhead_tokens=overhead)
        found = split(lengths, shapes)
        assert sum(found) == len(lengths)
        cheapest = min(
            cost(groups, lengths, overhead)
            for groups in compositions(len(lengths))
            if most is None or max(groups) <= most
        )
        assert cost(found, lengths, overhead) == cheapest


def compositions(total: int) -> list[list[int]]:
    """Every way to cut a row of `total` into groups."""
    cuts = [[i + 1 for i in range(total - 1) if mask >> i & 1] for mask in range(2 ** (total - 1))]
    return [[b - a for a, b in pairwise([0, *cut, total])] for cut in cuts]
