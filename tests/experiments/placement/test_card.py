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


def test_the_layouts_of_mig_are_those_of_nvidias_table() -> None:
    """The MIG user guide, "Supported MIG Profiles" of the A100: instances that nothing more fits beside."""
    assert set(Slices().layouts()) == {
        (7,),
        (3, 4),
        (1, 2, 4),
        (1, 1, 1, 4),
        (3, 3),
        (2, 2, 3),
        (1, 1, 2, 3),
        (1, 1, 1, 1, 3),
        (1, 2, 2, 2),
        (1, 1, 1, 2, 2),
        (1, 1, 1, 1, 1, 2),
        (1, 1, 1, 1, 1, 1, 1),
    }
    assert Slices().processes == (1, 2, 3, 4, 5)


def test_the_least_and_the_most_of_shares() -> None:
    assert Shares((1, 100), parts_per_gpu=1).layouts() == ((1,), (100,))
    assert Shares((50,)).processes == (1,)
    assert Shares((50,)).holds((50, 50))
    assert not Shares((50, 51)).holds((50, 51))
    with pytest.raises(UsageError, match="0 parts hold nothing"):
        Shares(parts_per_gpu=0)
