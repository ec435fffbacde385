"""A fleet that follows: by hand where that can be done, else what must hold of any."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from experiments.base.errors import UsageError
from experiments.fleet.scaling import (
    Batches,
    Control,
    Curve,
    Fixed,
    OnRate,
    OnUtilisation,
    Outcome,
    Policy,
    capacity_rps,
    daily,
    fixed_for,
    linear,
    simulate,
    table,
    thresholds,
)
from experiments.fleet.scaling.instances import Fleet, Life, Pods, Workers
from experiments.fleet.scaling.outcome import outcome_of
from tests.support.scalings import TEN_A_SECOND, service

HOUR = daily(10.0, 50.0, seed=1, lasts_s=3600.0, step_s=30.0)
YESTERDAY = daily(10.0, 50.0, seed=2, lasts_s=3600.0, step_s=30.0)
SMALL = linear(20.0, 30.0, 4)
KNOWN = service(capacity_rps=capacity_rps(SMALL, 500.0), batch_size=4)


def answers(fleet: Fleet, arrived_s: list[float], resized: tuple[float, int]) -> list[float]:
    """Requests, and one change of size while they come."""
    times_s, (at_s, count) = np.array(arrived_s), resized
    before = int(np.searchsorted(times_s, at_s))
    fleet.serve(np.arange(before), times_s[:before], at_s)
    fleet.resize(at_s, count)
    fleet.serve(np.arange(before, len(times_s)), times_s[before:], 10.0)
    answered_s = np.full(len(times_s), np.inf)
    fleet.finish(answered_s)
    return [round(float(at_s), 6) for at_s in answered_s]


class TestPods:
    def test_a_new_one_gets_its_part_once_it_is_ready(self) -> None:
        fleet = Pods(TEN_A_SECOND, loading_s=1.0, count=1)
        # From 1.1 s on they take turns; what waits at the old one stays there.
        assert answers(fleet, [0.0, 1.05, 1.06, 1.2, 1.21], (0.1, 2)) == [0.1, 1.15, 1.25, 1.35, 1.31]
        assert fleet.lives == [Life(0.0, 0.0), Life(0.1, 1.1)]

    def test_one_that_goes_answers_what_it_has(self) -> None:
        fleet = Pods(TEN_A_SECOND, loading_s=1.0, count=2)
        assert answers(fleet, [0.0, 0.01, 0.02, 0.03, 0.2], (0.05, 1)) == [0.1, 0.11, 0.2, 0.21, 0.3]
        assert fleet.lives[1].leaves_s == 0.05
        assert fleet.lives[1].gone_s == pytest.approx(0.21)  # it is paid for until then

    def test_those_that_load_go_first(self) -> None:
        fleet = Pods(TEN_A_SECOND, loading_s=30.0, count=2)
        fleet.resize(0.0, 4)
        fleet.resize(5.0, 3)
        assert [life.gone_s for life in fleet.lives] == [float("inf")] * 3 + [5.0]

    def test_work_is_counted_as_it_is_done(self) -> None:
        fleet = Pods(TEN_A_SECOND, loading_s=30.0, count=1)
        fleet.serve(np.arange(1), np.array([0.0]), 0.06)
        fleet.resize(0.06, 2)
        assert fleet.worked_s(0.06) == pytest.approx(0.06)


class TestWorkers:
    def test_a_new_one_takes_from_the_queue_that_all_share(self) -> None:
        fleet = Workers(TEN_A_SECOND, loading_s=0.2, count=1)
        assert answers(fleet, [0.0, 0.01, 0.02, 0.03, 0.04], (0.05, 2)) == [0.1, 0.2, 0.3, 0.35, 0.4]

    def test_one_that_goes_answers_its_batch(self) -> None:
        fleet = Workers(TEN_A_SECOND, loading_s=0.2, count=2)
        assert answers(fleet, [0.0, 0.01, 0.02], (0.05, 1)) == [0.1, 0.11, 0.21]

    def test_one_that_loads_goes_at_once(self) -> None:
        fleet = Workers(TEN_A_SECOND, loading_s=5.0, count=1)
        fleet.resize(1.0, 2)
        fleet.resize(2.0, 1)
        assert fleet.lives == [Life(0.0, 0.0), Life(1.0, 6.0, 2.0, 2.0)]
        assert fleet.worked_s(3.0) == 0


def test_what_it_costs_is_from_asked_for_to_gone() -> None:
    lives = [Life(0.0, 0.0), Life(100.0, 130.0, leaves_s=1000.0, gone_s=1010.0), Life(3500.0, 3530.0)]
    arrived_s = np.array([0.0, 1.0, 2.0, 3.0])
    found = outcome_of(
        "p", 500.0, arrived_s, arrived_s + np.array([0.1, 0.5, 0.6, np.inf]), lives, lasts_s=3600.0
    )
    assert found.instance_h == pytest.approx((3600 + 910 + 100) / 3600)
    assert (found.attainment, found.least, found.most, found.added, found.removed) == (0.5, 1, 2, 2, 1)
    assert found.p99_ms == pytest.approx(600)


def test_a_step_is_felt_until_those_that_it_takes_have_come() -> None:
    """5 to 20 requests/s at 600 s: seen at 615 s, they serve 30 s later, and the queue of the one that was
    there has grown by some 10 a second until then."""
    step = Curve("step", 600.0, (5.0, 20.0))
    known = service(loading_s=30.0)
    blind = OnRate(thresholds(known, Curve("flat", 600.0, (5.0, 5.0)), window_s=15.0))
    found = simulate(step, blind, known, TEN_A_SECOND)
    held = simulate(step, Fixed(4), known, TEN_A_SECOND)
    assert held.attainment > 0.99
    assert 0.85 < found.attainment < 0.97
    knowing = OnRate(replace(blind.thresholds, growth=4.0, peak_rps=25.0))
    assert simulate(step, knowing, known, TEN_A_SECOND).attainment > 0.99


@pytest.mark.thorough
def test_a_day_takes_fewer_hours_and_keeps_its_bounds() -> None:
    ours = simulate(HOUR, OnRate(thresholds(KNOWN, YESTERDAY)), KNOWN, SMALL)
    fixed = simulate(HOUR, fixed_for(HOUR.peak_rps, KNOWN.capacity_rps), KNOWN, SMALL)
    assert ours.attainment > 0.99
    assert ours.instance_h < fixed.instance_h


def test_cpu_does_not_see_a_gpu_at_work() -> None:
    on_a_gpu = replace(SMALL, busy_cpu=0.3)
    found = simulate(HOUR, OnUtilisation(50), KNOWN, on_a_gpu)
    assert (found.most, found.added) == (1, 0)
    assert found.attainment < 0.5


POLICIES = st.one_of(
    st.builds(Fixed, st.integers(1, 8)),
    st.builds(OnUtilisation, st.floats(10, 100)),
    st.builds(
        lambda growth, held_s: OnRate(
            replace(
                thresholds(KNOWN, YESTERDAY),
                growth=growth,
                control=Control(stabilisation_s=held_s, polling_s=5.0),
            )
        ),
        st.floats(1, 5),
        st.floats(0, 300),
    ),
)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(POLICIES, st.integers(1, 3), st.integers(0, 4), st.booleans(), st.integers(0, 1000))
def test_every_request_is_answered_by_as_many_as_there_may_be(
    policy: Policy, least: int, more: int, shared: bool, seed: int
) -> None:
    known = replace(KNOWN, least_instances=least, most_instances=least + more)
    short = daily(5.0, 60.0, seed=seed, lasts_s=300.0, step_s=10.0)
    found = simulate(short, policy, known, SMALL, seed=seed, shared=shared)
    assert np.isfinite(found.p99_ms)
    assert 0 <= found.attainment <= 1
    if not isinstance(policy, Fixed):
        assert least <= found.least <= found.most <= least + more
    assert found.least * 300 / 3600 <= found.instance_h * (1 + 1e-9)
    assert found.instance_h <= (found.most + found.removed) * 300 / 3600 * (1 + 1e-9)


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(POLICIES, st.integers(0, 1000))
def test_the_fleet_for_the_peak_keeps_at_least_as_many_bounds(policy: Policy, seed: int) -> None:
    short = daily(5.0, 60.0, seed=seed, lasts_s=600.0, step_s=10.0)
    fixed = fixed_for(short.peak_rps, KNOWN.capacity_rps)
    known = replace(KNOWN, most_instances=fixed.instances)
    held, found = (simulate(short, each, known, SMALL, seed=seed) for each in (fixed, policy))
    if isinstance(policy, Fixed) and policy.instances > fixed.instances:
        return
    assert held.attainment >= found.attainment - 0.01
    assert held.instance_h >= found.instance_h - 0.01


@pytest.mark.thorough
@given(st.integers(1, 6), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_more_instances_cost_more_and_miss_no_more(count: int, more: int) -> None:
    few, many = (simulate(HOUR, Fixed(each), KNOWN, SMALL) for each in (count, count + more))
    assert many.instance_h - few.instance_h == pytest.approx(more)
    assert many.attainment >= few.attainment - 0.005


def test_none_at_all_is_not_simulated() -> None:
    with pytest.raises(UsageError, match="give 1 or more"):
        simulate(HOUR, OnUtilisation(70), replace(KNOWN, least_instances=0), SMALL)


def test_a_seed_gives_the_same_outcome() -> None:
    policy = OnUtilisation(70)
    assert simulate(HOUR, policy, KNOWN, SMALL, seed=3) == simulate(HOUR, policy, KNOWN, SMALL, seed=3)


def test_the_table_has_cost_beside_attainment() -> None:
    fixed = Outcome("fixed, 4", 1000, 0.999, 400.0, 4.0, 4, 4, 0, 0)
    ours = Outcome("measured thresholds", 1000, 0.995, 480.0, 2.5, 1, 4, 7, 7)
    console = Console(width=140, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(table("a day", [ours, fixed], fixed))
    line = next(line for line in shown.get().splitlines() if "measured" in line)
    assert line.split() == ["measured", "thresholds", "99.50%", "480", "2.5", "62%", "1-4", "7", "7"]


@pytest.mark.thorough
def test_batches_of_a_gpu_are_as_long_as_others() -> None:
    """CPU is only what is seen, not what is served."""
    fixed = Fixed(3)
    on_a_gpu: Batches = replace(SMALL, busy_cpu=0.3)
    assert simulate(HOUR, fixed, KNOWN, SMALL) == simulate(HOUR, fixed, KNOWN, on_a_gpu)
