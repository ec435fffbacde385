"""One instance: batches by hand, queueing theory, and the rate at which it keeps its bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.scaling import Batches, capacity_rps, linear
from experiments.fleet.scaling.batches import Server, served
from experiments.placement.simulation import poisson
from tests.support.scalings import TEN_A_SECOND


def test_who_waits_when_a_worker_gets_free_is_its_next_batch() -> None:
    arrived_s = np.array([0.0, 0.01, 0.02, 0.03])
    answered_s = served(Batches((100.0, 150.0)), arrived_s)
    assert answered_s.tolist() == pytest.approx([0.1, 0.25, 0.25, 0.35])


def test_a_batch_waits_for_its_delay_unless_it_is_full() -> None:
    batches = Batches((100.0, 150.0), delay_ms=20.0)
    assert served(batches, np.array([0.0, 0.01, 0.3])).tolist() == pytest.approx([0.16, 0.16, 0.42])


def test_two_workers_serve_twice_as_much() -> None:
    answered_s = served(Batches((100.0,), workers=2), np.array([0.0, 0.01, 0.02]))
    assert answered_s.tolist() == pytest.approx([0.1, 0.11, 0.2])


@pytest.mark.thorough
def test_an_instance_waits_as_an_md1_queue_does() -> None:
    arrived_s = poisson(6.0, 50_000.0, seed=1)
    waited_s = served(TEN_A_SECOND, arrived_s) - arrived_s - 0.1
    assert waited_s.mean() == pytest.approx(0.6 * 0.1 / (2 * (1 - 0.6)), rel=0.05)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=60),
    st.lists(st.floats(0, 12), max_size=8),
    st.integers(1, 3),
    st.sampled_from([0.0, 5.0, 50.0]),
)
def test_it_is_the_same_whenever_one_looks(
    came_s: list[float], looks_s: list[float], workers: int, delay_ms: float
) -> None:
    """Batches are never formed before everybody is known who might be in them."""
    batches, arrived_s = linear(20.0, 10.0, 4, workers=workers, delay_ms=delay_ms), np.sort(came_s)
    server, begin = Server(batches, [0.0] * workers), 0
    for look_s in sorted(looks_s):
        end = int(np.searchsorted(arrived_s, look_s))
        server.add(np.arange(begin, end), arrived_s[begin:end])
        server.play(look_s)
        begin = end
    server.add(np.arange(begin, len(arrived_s)), arrived_s[begin:])
    server.play(float("inf"))
    assert server.queue.answered_s().tolist() == served(batches, arrived_s).tolist()


def test_the_capacity_keeps_the_bound_and_a_little_more_does_not() -> None:
    batches = linear(60.0, 30.0, 8)
    known_rps = capacity_rps(batches, 750.0, seed=1)
    assert known_rps < batches.highest_rps == pytest.approx(8 / 0.3)
    kept = []
    for rate_rps in (0.98 * known_rps, 1.05 * known_rps):
        arrived_s = poisson(rate_rps, 200_000 / rate_rps, seed=2)
        kept.append((served(batches, arrived_s) - arrived_s <= 0.75).mean())
    assert kept[0] > 0.985
    assert kept[1] < kept[0]


def test_what_can_not_be_served_is_refused() -> None:
    with pytest.raises(UsageError, match="no rate keeps a bound of 90 ms"):
        capacity_rps(TEN_A_SECOND, 90.0)
    with pytest.raises(UsageError, match="each batch size"):
        Batches(())
    with pytest.raises(UsageError, match="0 workers"):
        Batches((1.0,), workers=0)
