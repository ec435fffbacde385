"""From costs to the cells of a plan: closed forms, bounds, and how sure each is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError
from experiments.plan import Plan
from experiments.predict import predictor
from experiments.predict.costs import HANDLING_BATCH_MS, HANDLING_REQUEST_MS, costs_from
from experiments.predict.simulation import Stalls
from experiments.results.ceilings import Ceiling, Ceilings
from experiments.results.roofline import Peaks
from tests.experiments.predict.builders import some_costs

PLAN = Plan(model="bert", workers=(1, 2), batch_size=(1, 3, 8), batch_delay_ms=(1, 20), noise_floor=False)


def ceilings_of(*rows: Ceiling) -> Ceilings:
    return Ceilings(None, None, rows)


def a_row(batch_size: int = 1, workers: int = 1, **figures: float | None) -> Ceiling:
    row = Ceiling(False, None, None, workers, batch_size, 1, bare_rps=100.0, bare_batch_ms=10.0)
    return replace(row, **figures) if figures else row


def test_one_worker_and_no_batches_are_a_division() -> None:
    predict = predictor(some_costs(), PLAN)
    cell = PLAN.cells()[0]
    assert (cell.workers, cell.batch_size) == (1, 1)
    found = predict(cell)
    assert found.throughput_rps == pytest.approx(1e3 / (4 + 1 + 1 + 0.5))  # pass, handler's work, TorchServe
    assert found.p50_ms == pytest.approx(2 * 6.5)  # one waits while the other is worked on
    assert found.filled_batch == 1


def test_batch_sizes_between_those_measured_are_less_sure() -> None:
    predict = predictor(some_costs(), PLAN)
    of_one, of_three = (next(c for c in PLAN.cells() if c.batch_size == size) for size in (1, 3))
    assert predict(of_three).throughput_rps == pytest.approx(3e3 / (4 + 3 + 1 + 0.5))
    assert predict(of_three).log_sd > predict(of_one).log_sd


def test_a_twin_is_predicted_like_the_cell_that_it_repeats() -> None:
    plan = replace(PLAN, noise_floor=True)
    predict = predictor(some_costs(), plan)
    first, *_, twin = plan.cells()
    assert twin.twin
    assert predict(twin) == predict(first)


def test_the_same_arguments_predict_the_same() -> None:
    costs = some_costs(Stalls(8, 5))
    assert [predictor(costs, PLAN)(c) for c in PLAN.cells()] == [
        predictor(costs, PLAN)(c) for c in PLAN.cells()
    ]


def test_what_was_not_measured_comes_from_what_is_most_alike_and_is_doubted() -> None:
    predict = predictor(some_costs(), PLAN)
    measured, *_ = PLAN.cells()
    more = replace(measured, workers=4)
    other = replace(measured, engine="openvino")
    doubts = [predict(each).log_sd for each in (measured, more, replace(measured, server="triton"), other)]
    assert doubts == sorted(doubts)
    assert predict(more).throughput_rps == pytest.approx(2 * 1e3 / (8 + 2 + 1 + 0.25), rel=0.05)


def test_several_inputs_of_a_request_are_a_larger_batch() -> None:
    predict = predictor(some_costs(), PLAN)
    measured, *_ = PLAN.cells()
    assert predict(replace(measured, client_batch=8)).throughput_rps == pytest.approx(1e3 / (4 + 8 + 1 + 0.5))


def test_a_rate_is_served_with_what_waits_for_it() -> None:
    plan = replace(PLAN, rate_rps=(50.0, 140.0))
    predict = predictor(some_costs(), plan)
    low, high = (predict(cell) for cell in plan.cells()[:2])
    assert low.throughput_rps == pytest.approx(50, rel=0.1)
    assert low.p99_ms < high.p99_ms


def test_a_search_for_the_highest_rate_is_predicted_at_it() -> None:
    plan = Plan(model="bert", workers=(1,), batch_size=(8,), slo="p99=40ms", noise_floor=False, runs=1)
    found = predictor(some_costs(), plan)(plan.cells()[0])
    assert found.p99_ms <= 40
    assert 100 < found.throughput_rps <= 8e3 / 13.5


class TestFromCeilings:
    def test_without_the_handler_s_work_it_is_taken_for_that_of_short_texts(self) -> None:
        predict = predictor(ceilings_of(a_row(empty_rps=2000.0)), PLAN)
        costs = costs_from(ceilings_of(a_row(empty_rps=2000.0)))
        cell, *_ = PLAN.cells()
        expected_ms = 10 + HANDLING_BATCH_MS + HANDLING_REQUEST_MS + 0.5
        assert costs.of(cell, 1).batch_ms == pytest.approx(expected_ms)
        assert predict(cell).throughput_rps <= 1e3 / 10

    def test_with_it_only_that_counts(self) -> None:
        costs = costs_from(ceilings_of(a_row(handled_batch_ms=12.0, empty_rps=2000.0)))
        assert costs.of(PLAN.cells()[0], 1).batch_ms == pytest.approx(12.5)

    def test_an_empty_handler_that_was_not_measured_costs_nothing_and_is_doubted(self) -> None:
        with_it, without = (
            predictor(ceilings_of(a_row(handled_batch_ms=12.0, empty_rps=rps)), PLAN) for rps in (1e6, None)
        )
        assert without(PLAN.cells()[0]).log_sd > with_it(PLAN.cells()[0]).log_sd

    def test_an_empty_handler_that_had_to_wait_for_requests_tells_nothing(self) -> None:
        waited = replace(a_row(8), empty_rps=50.0, empty_in_flight=1)
        assert costs_from(ceilings_of(waited)).around == {}
        assert costs_from(ceilings_of(replace(waited, empty_in_flight=16))).around

    def test_on_a_gpu_spare_cores_read_and_write_meanwhile(self) -> None:
        rows = [a_row(size, handled_batch_ms=20.0 + size, empty_rps=2000.0) for size in (1, 8)]
        on_gpu = Ceilings(None, Peaks(1e15, 1e12, "https://example.org"), tuple(rows))
        costs = costs_from(on_gpu)
        cell = PLAN.cells()[-1]
        assert costs.of(cell, 8).batch_ms < costs_from(ceilings_of(*rows)).of(cell, 8).batch_ms
        assert costs.stalls_of(cell) == Stalls()

    def test_a_worker_waits_for_each_of_its_threads(self) -> None:
        one, two = (costs_from(ceilings_of(replace(a_row(), threads=threads))) for threads in (1, 2))
        cell = PLAN.cells()[0]
        assert two.stalls_of(cell).rate_per_s == 2 * one.stalls_of(cell).rate_per_s

    def test_no_bare_model_no_prediction(self) -> None:
        with pytest.raises(ExperimentError, match="--ceilings"):
            predictor(ceilings_of(a_row(bare_rps=None, bare_batch_ms=None)), PLAN)


@pytest.mark.thorough
@given(st.integers(1, 4), st.integers(1, 16), st.integers(1, 64), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_no_cell_is_above_the_bare_model(workers: int, batch_size: int, clients: int, delay_ms: int) -> None:
    plan = Plan(
        model="bert",
        workers=(workers,),
        batch_size=(batch_size,),
        batch_delay_ms=(delay_ms,),
        concurrency=(clients,),
        noise_floor=False,
    )
    costs = some_costs(Stalls(8, 5))
    (cell,) = plan.cells()
    found = predictor(costs, plan)(cell)
    assert 0 < found.throughput_rps <= costs.bound_rps(cell)
    assert 1 <= found.filled_batch <= min(batch_size, clients)
    assert found.p50_ms <= found.p95_ms <= found.p99_ms
    assert found.log_sd > 0
