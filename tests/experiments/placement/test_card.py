"""What a GPU can be cut into."""

import pytest

from experiments.base.errors import UsageError
from experiments.placement.card import Shares, Slices


def test_the_papers_shares_are_one_or_two_to_a_gpu() -> None:
    layouts = Shares().layouts()
    assert {(100,), (20, 80), (40, 60), (50, 50)} <= set(layouts)
    assert all(len(sizes) == 2 or sizes == (100,) for sizes in layouts)


def test_more_parts_are_more_ways() -> None:
    assert (20, 20, 20, 20, 20) in Shares(parts_per_gpu=5).layouts()
    assert (20, 20, 60) in Shares(parts_per_gpu=3).layouts()
    assert not Shares(parts_per_gpu=3).holds((20, 20, 20, 20))


def test_mig_instances_begin_where_nvidia_says() -> None:
    card = Slices()
    assert card.holds((7,))
    assert card.holds((3, 3))
    assert card.holds((4, 3))
    assert card.holds((3, 2, 2))
    assert card.holds((1,) * 7)
    assert not card.holds((4, 4))
    assert not card.holds((3, 3, 1))  # three slices of memory are lost to two of them
    assert not card.holds((7, 1))
    assert (1, 2, 4) in card.layouts()


@pytest.mark.parametrize("sizes", [(), (50, 20), (20, 20), (0, 50), (50, 101)])
def test_shares_that_are_none(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        Shares(sizes)
