"""Parts worth having: of all batches of those who take turns, the ones that no others beat."""

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.problem import Problem
from experiments.placement.strategies.columns import Kind, columns

TABLE = LatencyTable(
    Measured(model, 100, batch, 1 + per_request_ms * batch)
    for model, per_request_ms in (("a", 1.0), ("b", 2.5), ("c", 4.0))
    for batch in (1, 2, 4)
)
GROUPS = [*combinations(range(3), 2), (0, 1, 2)]


@given(st.tuples(*[st.floats(1, 300)] * 3), st.floats(20, 90))
@settings(max_examples=10, deadline=None)
def test_those_are_left_that_no_other_batches_beat(rates_rps: tuple[float, ...], slo_ms: float) -> None:
    workloads = tuple(Workload(m, m, rate, slo_ms) for m, rate in zip("abc", rates_rps, strict=True))
    problem = Problem(workloads, TABLE)
    found = columns(problem, Kind(100), range(3))
    for group in GROUPS:
        who = [*group, *[-1] * (3 - len(group))]
        left = found.rates_rps[(found.workloads == who).all(axis=1), : len(group)].tolist()
        assert sorted(left) == [pytest.approx(rates) for rates in unbeaten(problem, group)]


def unbeaten(problem: Problem, group: tuple[int, ...]) -> list[list[float]]:
    """What the batches serve that keep the bounds, and that no others serve too; sorted."""
    every: set[tuple[float, ...]] = set()
    curves = [problem.latency_ms(index, 100).tolist() for index in range(3)]
    for batches in product((1, 2, 3, 4), repeat=len(group)):
        pairs = [*zip(group, batches, strict=True)]
        taken_ms = [curves[index][batch] for index, batch in pairs]
        if all(2 * sum(taken_ms) <= problem.workloads[index].slo_ms for index in group):
            every.add(
                tuple(
                    min(1000 * batch / sum(taken_ms), problem.workloads[index].rate_rps)
                    for index, batch in pairs
                )
            )
    return sorted(
        [*rates]
        for rates in every
        if not any(all(a >= b for a, b in zip(other, rates, strict=True)) for other in every - {rates})
    )
