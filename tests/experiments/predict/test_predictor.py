"""From costs to the cells of a plan: closed forms, bounds, and how sure each is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError
from experiments.plan import Plan
from experiments.predict import predictor
from experiments.predict.costs import Costs, costs_from, setting_of
from experiments.predict.curve import curve
from experiments.predict.doubts import Doubts
from experiments.predict.predictor import offered
from experiments.predict.simulation import Stalls
from experiments.results.ceilings import Ceiling, Ceilings
from experiments.results.roofline import Peaks
from tests.experiments.predict.builders import a_line, a_setting, some_costs

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


@pytest.mark.thorough
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
        expected_ms = 10 + 0.33 + 0.025 + 0.5  # docs/predicting.md
        assert costs.of(cell, 1).batch_ms == pytest.approx(expected_ms)
        assert costs.of(cell, 2).batch_ms == pytest.approx(20 + 0.33 + 2 * 0.025 + 1)
        assert "the handler's work around its pass was not measured" in costs.of(cell, 1).doubts.lacking
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
        assert one.stalls_of(cell) == Stalls(rate_per_s=3.0, mean_ms=8.0)
        assert two.stalls_of(cell) == Stalls(rate_per_s=6.0, mean_ms=8.0)

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


class TestDoubts:
    def test_each_adds_its_square_once(self) -> None:
        assert Doubts().log_sd == pytest.approx(0.08)
        assert Doubts().at("measured") == Doubts()
        twice = Doubts().at("beyond").with_("on a GPU").with_("on a GPU")
        assert twice.lacking == ("beyond", "on a GPU")
        assert twice.log_sd == pytest.approx((0.08**2 + 0.2**2 + 0.2**2) ** 0.5)

    @pytest.mark.parametrize(
        ("why", "adds"),
        [
            ("between", 0.04),
            ("beyond", 0.2),
            ("on a GPU", 0.2),
            ("the handler's work around its pass was not measured", 0.05),
            ("the empty handler was not measured", 0.1),
            ("another server, whose own work was not measured", 0.3),
            ("the bare model was not measured with as many workers", 0.3),
            ("the bare model was not measured with these settings", 0.7),
        ],
    )
    def test_it_is_as_unsure_as_docs_predicting_says(self, why: str, adds: float) -> None:
        assert Doubts().with_(why).log_sd == pytest.approx((0.08**2 + adds**2) ** 0.5)


class TestWhatIsMostAlike:
    """Of the settings that were measured."""

    MEASURED, *_ = PLAN.cells()

    def test_with_more_workers_than_measured_each_gets_its_share_of_the_cores(self) -> None:
        found = some_costs().of(replace(self.MEASURED, workers=6), 1)
        assert found.batch_ms == pytest.approx((8 + 2 + 1) * 6 / 2 + 0.5)
        assert found.doubts.lacking == ("the bare model was not measured with as many workers",)

    def test_with_fewer_it_is_no_quicker(self) -> None:
        costs = some_costs()
        two = Costs(
            {a_setting(2): costs.bare[a_setting(2)]},
            {a_setting(2): costs.handled[a_setting(2)]},
            costs.around,
        )
        assert two.of(self.MEASURED, 1).batch_ms == pytest.approx(8 + 2 + 1 + 0.5)

    def test_of_several_numbers_of_workers_the_nearest_counts(self) -> None:
        bare = {a_setting(workers): a_line(10.0 * workers, 0) for workers in (2, 8, 5)}
        found = Costs(bare, bare, {}).of(replace(self.MEASURED, workers=4), 1)
        assert found.batch_ms == pytest.approx(50)

    def test_of_other_settings_that_with_fewest_that_differ_and_then_of_as_many_workers(self) -> None:
        bare = {
            a_setting(4, mps=True, engine="openvino"): a_line(1, 0),
            a_setting(1, engine="openvino"): a_line(2, 0),
            a_setting(3, engine="openvino"): a_line(3, 0),
        }
        found = Costs(bare, bare, {}).of(replace(self.MEASURED, workers=4), 1)
        assert found.batch_ms == pytest.approx(3 * 4 / 3)
        assert "the bare model was not measured with these settings" in found.doubts.lacking

    def test_around_it_the_nearest_number_of_workers_counts_too(self) -> None:
        bare = {a_setting(1): a_line(10, 0)}
        around = {workers: a_line(0.1 * workers, 0) for workers in (1, 2, 8)}
        costs = Costs(bare, bare, around)
        assert costs.of(replace(self.MEASURED, workers=3), 1).batch_ms == pytest.approx(30 + 0.2)
        assert costs.of(replace(self.MEASURED, workers=7), 1).batch_ms == pytest.approx(70 + 0.8)

    def test_another_server_s_own_work_is_doubted(self) -> None:
        found = some_costs().of(replace(self.MEASURED, server="triton"), 1)
        assert found.doubts.lacking == ("another server, whose own work was not measured",)


class TestTheBareModelAlone:
    """A batch of n takes 4 + n ms on one worker, 8 + 2 n on two."""

    def test_is_at_its_best_with_full_batches(self) -> None:
        costs = some_costs()
        one, two = (
            next(c for c in PLAN.cells() if c.workers == workers and c.batch_size == 8) for workers in (1, 2)
        )
        assert costs.bound_rps(one) == pytest.approx(8e3 / 12)
        assert costs.bound_rps(two) == pytest.approx(2 * 8e3 / 24)
        assert costs.bound_rps(replace(one, workers=4)) == pytest.approx(2 * 8e3 / 24)
        assert costs.bound_rps(replace(one, batch_size=2, client_batch=4)) == pytest.approx(2e3 / 12)

    def test_or_with_smaller_ones_where_these_are_quicker(self) -> None:
        bare = {a_setting(1): curve([(1, 5.0), (2, 8.0), (4, 40.0)])}
        cell = next(c for c in PLAN.cells() if c.batch_size == 3)
        assert Costs(bare, bare, {}).bound_rps(cell) == pytest.approx(2e3 / 8)


class TestRowsOfCeilings:
    def test_a_cycle_is_from_a_batch_of_a_worker_to_its_next(self) -> None:
        row = a_row(8, 2, bare_rps=400.0, empty_rps=3200.0, threads=3)
        costs = costs_from(ceilings_of(row))
        assert costs.bare[setting_of(row)].at(8) == pytest.approx(40)
        assert costs.around[2].at(8) == pytest.approx(5)
        assert costs.threads == {setting_of(row): 3}
        assert not costs.on_gpu

    def test_queues_are_full_with_a_request_for_every_place_in_a_batch(self) -> None:
        row = a_row(8, 2, empty_rps=3200.0, empty_in_flight=16)
        assert costs_from(ceilings_of(row)).around
        assert not costs_from(ceilings_of(replace(row, empty_in_flight=15))).around
        assert costs_from(ceilings_of(replace(row, empty_in_flight=None))).around

    def test_a_batch_of_weeks_is_a_damaged_file(self) -> None:
        assert not costs_from(ceilings_of(a_row(handled_batch_ms=1e9))).handled
        assert costs_from(ceilings_of(a_row(handled_batch_ms=1e9 - 0.5))).handled

    def test_on_a_gpu_a_batch_of_one_is_passed_on_and_that_is_doubted(self) -> None:
        rows = [a_row(size, handled_batch_ms=20.0, empty_rps=100.0 + size) for size in (1, 8)]
        costs = costs_from(Ceilings(None, Peaks(1e15, 1e12, "https://example.org"), tuple(rows)))
        found = costs.of(PLAN.cells()[-1], 8)
        assert found.batch_ms == pytest.approx(20 * 2 + 1e3 / 101)
        assert "on a GPU" in found.doubts.lacking

    def test_of_a_worker_whose_threads_are_not_told_there_is_one(self) -> None:
        assert some_costs(Stalls(3, 8)).stalls_of(PLAN.cells()[0]) == Stalls(3, 8)


class TestASearchForTheHighestRate:
    def test_where_no_rate_keeps_the_bound_the_lowest_looked_at_is_told(self) -> None:
        plan = Plan(model="bert", workers=(1,), batch_size=(1,), slo="p99=6ms", noise_floor=False, runs=1)
        found = predictor(some_costs(), plan)(plan.cells()[0])
        most_rps = 1e3 / 6.5
        assert found.throughput_rps < most_rps / 100
        assert found.p99_ms == pytest.approx(6.5, rel=0.05)

    def test_the_lowest_is_a_thousandth_of_what_the_workers_carry(self) -> None:
        plan = Plan(model="bert", workers=(1,), batch_size=(1,), slo="p99=6ms", noise_floor=False, runs=1)
        steady = replace(plan, arrivals="constant", duration_s=120.0)
        found = predictor(some_costs(), steady)(steady.cells()[0])
        assert found.throughput_rps == pytest.approx(1e3 / 6.5 / 2**10, rel=0.01)

    @pytest.mark.thorough
    def test_the_percentile_is_that_of_the_bound(self) -> None:
        rates = []
        for slo in ("p50=30ms", "p99=30ms"):
            plan = Plan(model="bert", workers=(1,), batch_size=(1,), slo=slo, noise_floor=False, runs=1)
            rates.append(predictor(some_costs(), plan)(plan.cells()[0]).throughput_rps)
        assert rates[0] > 1.05 * rates[1]

    def test_it_is_near_the_bound(self) -> None:
        plan = Plan(model="bert", workers=(1,), batch_size=(1,), slo="p99=30ms", noise_floor=False, runs=1)
        assert 28 < predictor(some_costs(), plan)(plan.cells()[0]).p99_ms <= 30


def test_the_load_is_that_of_the_plan() -> None:
    plan = replace(PLAN, rate_rps=(50.0,), arrivals="constant", duration_s=7.0)
    load = offered(plan, plan.cells()[0])
    assert (load.rate_rps, load.poisson, load.window_s, load.requests) == (50.0, False, 7.0, None)
    assert offered(replace(plan, arrivals="poisson"), plan.cells()[0]).poisson
