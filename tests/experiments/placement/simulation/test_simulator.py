"""The simulator against queueing theory where that is exact, and against what the checker promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.interference import Linear, Use
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem, Rules
from experiments.placement.simulation import (
    Phase,
    bursty,
    constant,
    outcomes,
    poisson,
    simulate,
    simulate_seats,
)
from experiments.placement.strategies.search import fewest
from tests.experiments.placement.profiles import problem


def one_model(latency_ms: float, batch: int, rate_rps: float) -> tuple[Problem, Placement]:
    """A model alone on a GPU, whose batches take the same time whatever their size."""
    table = LatencyTable([Measured("m", 100, 1, latency_ms), Measured("m", 100, max(2, batch), latency_ms)])
    part = Part(100, latency_ms, (Resident(0, batch),))
    return Problem((Workload("m", "m", rate_rps, 1e6),), table), Placement(((part,),))


def mean_ms(asked: Problem, placement: Placement, rate_rps: float, seconds: float) -> float:
    played = simulate(asked, [Phase(0, placement)], [poisson(rate_rps, seconds, seed=1)])
    return float((played.answered_s[0] - played.arrived_s[0]).mean() * 1000)


@pytest.mark.thorough
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_batches_of_one_are_an_md1_queue(load: float) -> None:
    """Mean time in an M/D/1 queue: service * (1 + load / (2 * (1 - load))), Pollaczek and Khinchine."""
    asked, placement = one_model(10, 1, 100 * load)
    expected_ms = 10 * (1 + load / (2 * (1 - load)))
    assert mean_ms(asked, placement, 100 * load, 5000) == pytest.approx(expected_ms, rel=0.02)


def bulk_service_mean_ms(latency_ms: float, batch: int, rate_rps: float) -> float:
    """Mean time in a queue whose one server takes up to `batch` at once, always for the same time.

    By the stationary distribution of those left when a batch ends, and Little's law over a cycle.
    """
    load, most = rate_rps * latency_ms / 1000, 400
    steps = np.arange(most)
    came = np.exp(-load + steps * np.log(load) - np.cumsum(np.log(np.maximum(steps, 1))))
    jump = np.zeros((most, most))
    for left in range(most):
        stay = max(left - batch, 0) if left else 0
        jump[left, stay:] = came[: most - stay]
        jump[left, -1] += 1 - jump[left].sum()
    values, vectors = np.linalg.eig(jump.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    # Over a cycle from one end of a batch to the next: time, and the area below the number in the system.
    present = np.maximum(steps, 1)
    idle_s = np.where(steps == 0, 1 / rate_rps, 0.0)
    service_s = latency_ms / 1000
    area = present * service_s + rate_rps * service_s**2 / 2
    number = (stationary @ area) / (stationary @ (idle_s + service_s))
    return float(1000 * number / rate_rps)


@pytest.mark.thorough
@pytest.mark.parametrize(("batch", "rate_rps"), [(4, 120), (4, 320), (8, 600)])
def test_batches_are_a_queue_with_bulk_service(batch: int, rate_rps: float) -> None:
    asked, placement = one_model(10, batch, rate_rps)
    expected_ms = bulk_service_mean_ms(10, batch, rate_rps)
    assert mean_ms(asked, placement, rate_rps, 1000) == pytest.approx(expected_ms, rel=0.02)


@pytest.mark.wide
@pytest.mark.thorough
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(5, 900), st.floats(12, 200)), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_with_constant_arrivals_every_promised_bound_is_kept(
    listed: list[tuple[str, float, float]], late_binding: bool
) -> None:
    workloads = tuple(Workload(f"{m}{n}", m, rate, slo) for n, (m, rate, slo) in enumerate(listed))
    asked = Problem(workloads, problem(("a", 1, 100)).table, Rules(late_binding=late_binding))
    placement = fewest(asked, prove=False).placement
    assert violations(placement, asked) == []
    residents = [(part, resident) for _, part in placement.parts() for resident in part.residents]
    arrivals = [constant(part.capacity_rps(resident), 3.0) for part, resident in residents]
    for (_, resident), came, answered in zip(
        residents, arrivals, simulate_seats(asked, placement, arrivals), strict=True
    ):
        slo_ms = workloads[resident.workload].slo_ms
        assert (answered - came).max(initial=0) * 1000 <= slo_ms * (1 + 1e-9)


def test_a_batch_beside_another_takes_longer() -> None:
    felt = Linear(0, 1.0, 0, 0, 1.0, {"b": Use((1, 32), (0.5, 0.5), (0.0, 0.0))})
    asked = problem(("a", 10, 1000), ("b", 10, 1000), rules=Rules(interference=felt))
    placement = Placement(((Part(50, 100, (Resident(0, 1),)), Part(50, 100, (Resident(1, 1),))),))
    # b works from 0 to 6 ms; a alone takes 4 ms, beside b a quarter more: half of b's half.
    beside, alone = simulate_seats(asked, placement, [np.array([0.001, 0.1]), np.array([0.0])])[0]
    assert (beside - 0.001, alone - 0.1) == (pytest.approx(0.005), pytest.approx(0.004))


def test_a_batch_waits_for_more_only_as_long_as_it_may() -> None:
    asked, placement = one_model(10, 4, 10)
    come = np.array([0.0, 0.003, 0.2, 0.201, 0.202, 0.203])
    answered = simulate_seats(asked, placement, [come], batch_delay_ms=5)[0]
    assert answered == pytest.approx([0.015, 0.015, 0.213, 0.213, 0.213, 0.213])


def test_what_one_placement_has_not_begun_goes_on_with_the_next() -> None:
    asked, slow = one_model(1000, 1, 1)
    fast = Placement((slow.gpus[0], slow.gpus[0]))
    played = simulate(asked, [Phase(0, slow), Phase(1.5, fast)], [np.array([0.0, 0.1, 0.2, 0.3])])
    assert played.answered_s[0] == pytest.approx([1.0, 2.0, 2.5, 2.5])


def test_where_nobody_serves_nothing_is_answered() -> None:
    asked, placement = one_model(10, 1, 1)
    (outcome,) = outcomes(
        asked.workloads, simulate(asked, [Phase(0, Placement(()))], [constant(10, 1)]), warm_up_s=0.5
    )
    assert (outcome.requests, outcome.attainment, outcome.throughput_rps) == (5, 0.0, 0.0)
    assert outcome.p99_ms == float("inf")
    del placement


def test_arrivals_have_their_rates() -> None:
    assert len(constant(20, 10)) == 200
    assert len(poisson(20, 1000, seed=0)) == pytest.approx(20_000, rel=0.03)
    burst = bursty(20, 5000, seed=0)
    assert len(burst) == pytest.approx(100_000, rel=0.05)
    seconds = np.bincount(burst.astype(int))
    assert seconds.var() > 3 * seconds.mean()  # of Poisson arrivals both are the same
