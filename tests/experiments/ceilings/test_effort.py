"""Which of a plan's batch sizes are measured before it is predicted."""

from hypothesis import given
from hypothesis import strategies as st

from experiments.ceilings.effort import for_prediction, spread_over
from experiments.plan import Plan


def test_of_many_sizes_those_that_span_them() -> None:
    assert spread_over([1, 2, 4, 8, 16, 32], 3) == (1, 4, 32)
    assert spread_over([1, 2, 4, 8, 16, 32], None) == (1, 2, 4, 8, 16, 32)
    assert spread_over([4, 8], 1) == (8,)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=20, unique=True).map(sorted), st.integers(2, 20))
def test_the_first_and_the_last_are_among_them(sizes: list[int], most: int) -> None:
    chosen = spread_over(sizes, most)
    assert chosen[0] == sizes[0]
    assert chosen[-1] == sizes[-1]
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == min(most, len(sizes))


def test_a_small_grid_is_measured_at_every_size_and_a_large_one_at_few() -> None:
    small = Plan(workers=(1, 2), batch_size=(1, 2, 4, 8, 16, 32))
    assert for_prediction(small).sizes_of(small) == small.batch_size
    large = Plan(workers=(1, 2, 4), batch_size=(1, 2, 4, 8, 16, 32), precision=("fp32", "bf16", None))
    assert for_prediction(large).sizes_of(large) == (1, 32)


def test_a_sweep_measures_every_size_of_its_plan() -> None:
    plan = Plan(batch_size=(8, 1))
    assert for_prediction(plan).batch_sizes == ()
    assert set(for_prediction(plan).sizes_of(plan)) == {1, 8}
