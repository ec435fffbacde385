"""A load that another node sent, on the clock of the node that was loaded."""

from dataclasses import replace

import pytest

from experiments.cluster.card_program import brought_over
from experiments.cluster.dealt import LoadSeat
from experiments.cluster.messages import Loaded
from tests.support.builders import a_load_result

SEAT = LoadSeat("b", "host-b core 0", (0,), "10.0.0.1")


def test_its_window_is_told_on_this_clock_with_how_far_off_that_may_be() -> None:
    """The other clock is 1,000 s behind. The way there takes 4 ms, the way back 8 ms."""
    result = replace(a_load_result(), begin_s=23.0)
    loaded = Loaded(result, 20.004, 30.0, 0.25, 0.4, 0.1, None)
    sent = brought_over(loaded, asked_s=1020.0, back_s=1030.008, seat=SEAT)
    assert sent.result.begin_s == pytest.approx(1023.002)
    assert sent.load_from is not None
    assert sent.load_from.clock_error_ms == pytest.approx(6.0)
    assert abs(sent.result.begin_s - 1023.0) * 1e3 <= sent.load_from.clock_error_ms
    assert (sent.load_from.node, sent.load_from.listens_on) == ("host-b core 0", "10.0.0.1")
    assert (sent.load_from.network_ms, sent.load_from.cpu_cores_used) == (0.25, 0.4)


def test_what_disturbed_it_there_is_told() -> None:
    loaded = Loaded(a_load_result(), 0.0, 1.0, None, None, None, "where the load came from, others were busy")
    assert brought_over(loaded, 0.0, 1.0, SEAT).disturbed == "where the load came from, others were busy"
