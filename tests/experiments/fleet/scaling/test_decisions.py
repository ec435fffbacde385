"""Kubernetes' rule, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.scaling import Control, Decider, OnUtilisation, Seen, fixed_for
from experiments.fleet.scaling.decisions import Metrics


def decider(stabilisation_s: float = 0.0, least: int = 1, most: int = 10) -> Decider:
    return Decider(Control(stabilisation_s=stabilisation_s), least, most)


def test_what_the_metric_asks_for_is_rounded_up() -> None:
    assert decider().decide(0, 2.3, current=2) == 3


def test_within_the_tolerance_nothing_changes() -> None:
    assert decider().decide(0, 2.2, current=2) == 2
    assert decider().decide(0, 1.8, current=2) == 2
    assert decider().decide(0, 9.1, current=10) == 10


def test_up_at_once_and_down_to_the_highest_within_the_window() -> None:
    held = decider(stabilisation_s=60)
    assert held.decide(0, 5, current=2) == 5
    assert held.decide(30, 2, current=5) == 5
    assert held.decide(45, 3, current=5) == 5
    assert held.decide(61, 2, current=5) == 3  # the 5 was 61 s ago, the 3 was 16 s ago
    assert held.decide(110, 2, current=3) == 2


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1e6)), min_size=1, max_size=30),
    st.integers(1, 5),
    st.integers(0, 10),
)
def test_there_are_never_fewer_than_least_nor_more_than_most(
    asked: list[tuple[float, float]], least: int, more: int
) -> None:
    limited, now_s, current = decider(30.0, least, least + more), 0.0, least
    for later_s, wanted in asked:
        now_s += later_s
        current = limited.decide(now_s, wanted, current)
        assert least <= current <= least + more


def test_cpu_asks_for_what_brings_it_to_its_target() -> None:
    at_70 = OnUtilisation(70)
    assert at_70.name == "CPU at 70 %"
    assert at_70.wanted(Seen(100, 0.7, ready=4, current=4)) == pytest.approx(4)
    assert at_70.wanted(Seen(100, 1.0, ready=4, current=4)) == pytest.approx(4 / 0.7)
    # Those that load are idle: four at work of six, spread over six.
    assert at_70.wanted(Seen(100, 1.0, ready=4, current=6)) == pytest.approx(4 / 0.7)


def test_cpu_that_nobody_measured_changes_nothing() -> None:
    assert OnUtilisation(70).wanted(Seen(100, None, ready=4, current=4)) == 4


def test_a_fixed_fleet_serves_the_peak() -> None:
    assert [fixed_for(peak, 10).instances for peak in (0.0, 10.0, 10.1, 95.0)] == [1, 1, 2, 10]


def test_metrics_are_averages_over_the_window() -> None:
    metrics = Metrics(window_s=60)
    assert metrics.note(30, 300, 15, 30) == (10, 0.5)
    assert metrics.note(60, 900, 30, 60) == (15, 0.5)
    assert metrics.note(90, 2100, 90, 120) == (30, 75 / 90)  # since 30 s
    assert metrics.note(120, 2100, 90, 120) == (20, 1.0)  # since 60 s


@pytest.mark.parametrize("wrong", [{"polling_s": 0.0}, {"window_s": -1.0}, {"tolerance": 1.0}])
def test_a_control_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Control(**wrong)
