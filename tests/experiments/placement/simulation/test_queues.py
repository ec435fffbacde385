"""The queue of one who has a part alone, against the turns that several take."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.placement.placed import Resident
from experiments.placement.simulation.queues import EarlyTurns, Queue, play_alone

SECONDS = [0.0, *(0.02 + 0.01 * count for count in range(1, 9))]


@given(
    st.lists(st.floats(0, 2), max_size=80).map(sorted),
    st.integers(1, 8),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.005, 0.05]),
    st.floats(0, 3) | st.just(float("inf")),
)
def test_who_is_alone_is_served_as_in_turns(
    come_s: list[float], batch: int, workers: int, delay_s: float, until_s: float
) -> None:
    alone, in_turns = (Queue(Resident(0, batch), np.arange(len(come_s)), come_s) for _ in range(2))
    worked_s = play_alone(alone, [0.0] * workers, SECONDS, until_s, delay_s, worked_s=1.0)
    turns = EarlyTurns([in_turns], workers, 0.0, delay_s)
    expected_s = 1.0
    while (begins_s := turns.begins_s()) is not None and begins_s < until_s:
        place, count = turns.take()
        turns.done(place, count, begins_s + SECONDS[count])
        expected_s += SECONDS[count]
    assert alone.answered_s().tolist() == in_turns.answered_s().tolist()
    assert (alone.head, worked_s) == (in_turns.head, expected_s)
