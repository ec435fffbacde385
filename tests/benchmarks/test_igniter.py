"""iGniter's model of interference, and its twelve workloads placed by our search."""

import pytest

from benchmarks.parts import sharing
from benchmarks.parts.placing import twelve
from benchmarks.parts.placing.igniter import Igniter, Running


@pytest.fixture(scope="module")
def igniter() -> Igniter:
    return Igniter()


def test_its_own_plan_keeps_every_bound_by_it(igniter: Igniter) -> None:
    gpus: dict[str, list[Running]] = {}
    bounds: dict[str, list[float]] = {}
    for row in sharing.rows("igniter_12_workloads.csv"):
        running = Running(row["model"], float(row["igniter_percent"]), int(row["igniter_batch"]))
        gpus.setdefault(row["igniter_gpu"], []).append(running)
        bounds.setdefault(row["igniter_gpu"], []).append(float(row["slo_ms"]))
    for gpu, running in gpus.items():
        for taken_ms, slo_ms in zip(igniter.latencies_ms(tuple(running)), bounds[gpu], strict=True):
            assert 0.8 < 2 * taken_ms / slo_ms <= 1  # it fills what it may


def test_neighbours_slow_a_batch_and_a_lone_one_is_as_profiled(igniter: Igniter) -> None:
    batch = Running("vgg19", 50, 16)
    (alone_ms,) = igniter.latencies_ms((batch,))
    assert alone_ms == pytest.approx(51.86 + 0.97, rel=0.02)  # what was profiled, and the copies
    assert igniter.latencies_ms((batch, Running("ssd", 50, 16)))[0] > alone_ms


@pytest.mark.wide
@pytest.mark.thorough
def test_twelve_workloads_take_no_more_gpus_than_igniter_by_its_own_model(igniter: Igniter) -> None:
    problem, found = twelve.placed(igniter, clock=0.99)
    assert len(found.placement.gpus) <= twelve.ORIGINAL
    assert twelve.broken(problem, igniter, found.placement) == []
