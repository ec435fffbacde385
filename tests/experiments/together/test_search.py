"""The search for the highest factor of the rates: it ends, close to the limit, whatever the looks say."""

import random

from hypothesis import example, given
from hypothesis import strategies as st

from experiments.together.search import HIGHEST, LOWEST, RESOLUTION, Search, factor


def carried_out(search: Search, limit: float) -> int:
    """Looks at a server that holds up to `limit` and fails beyond it; how many it took."""
    looks = 0
    while (step := search.next_step) is not None:
        search.note(step, held=factor(step) <= limit)
        looks += 1
    return looks


@given(st.floats(factor(LOWEST), factor(HIGHEST) * 0.99), st.sampled_from([1, 3, 5]))
@example(1.0, 5)
def test_it_ends_within_a_step_of_the_limit(limit: float, looks: int) -> None:
    search = Search(looks)
    taken = carried_out(search, limit)
    decision = search.decision
    assert decision is not None
    assert decision.factor <= limit < decision.factor * RESOLUTION * 1.0001
    assert decision.held[0] * 2 > looks
    assert decision.failed_held[0] == 0
    assert taken <= 40


def test_where_nothing_holds_the_factor_is_zero() -> None:
    search = Search()
    carried_out(search, 0.0)
    assert search.decision is not None
    assert search.decision.factor == 0.0


def test_where_everything_holds_it_ends_at_the_highest() -> None:
    search = Search()
    carried_out(search, float("inf"))
    assert search.decision is not None
    assert search.decision.holds == HIGHEST


def test_a_look_that_something_else_made_fail_does_not_decide() -> None:
    search = Search(looks=3)
    assert search.next_step == 0
    search.note(0, held=False)
    assert search.next_step == 0  # again
    search.note(0, held=True)
    carried_out(search, 1.0)
    assert search.decision is not None
    assert search.decision.factor == 1.0
    assert search.decision.held == (2, 3)


@given(st.integers(0, 2**32), st.floats(0.0, 1.0), st.integers(1, 7))
def test_it_ends_whatever_the_looks_say(seed: int, likely: float, looks: int) -> None:
    draw = random.Random(seed)
    search = Search(looks)
    taken = 0
    while (step := search.next_step) is not None:
        search.note(step, held=draw.random() < likely)
        taken += 1
        assert taken <= (HIGHEST - LOWEST + 1) * max(2, looks)
    assert search.decision is not None


@given(st.integers(0, 2**32))
def test_it_goes_on_from_the_looks_that_are_there(seed: int) -> None:
    draw = random.Random(seed)
    whole, stopped = Search(), Search()
    while (step := whole.next_step) is not None:
        held = draw.random() < 0.5
        whole.note(step, held)
        assert stopped.next_step == step
        stopped = Search(seen={key: list(value) for key, value in stopped.seen.items()})
        stopped.note(step, held)
    assert stopped.decision == whole.decision
