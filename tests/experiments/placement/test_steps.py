"""From a demand and a profile to a placement and what it is predicted to do."""

from dataclasses import replace

import pytest

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement import steps
from experiments.placement.card import Shares, Slices
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, Rules, UnplaceableError
from experiments.placement.simulation import poisson
from experiments.placement.steps import place, predict, problem_of
from experiments.placement.strategies import STRATEGIES
from tests.experiments.placement.profiles import problem

A, B = Workload("a", "a", 50, 100), Workload("b", "b", 20, 100)


def measured_on(**sizes: tuple[int, ...]) -> LatencyTable:
    return LatencyTable(Measured(model, size, 1, 5.0) for model, own in sizes.items() for size in own)


class TestTheCard:
    def test_has_the_shares_that_all_models_were_measured_on(self) -> None:
        asked = problem_of([A, B], measured_on(a=(20, 50, 100), b=(50, 80, 100), c=(7,)), Rules(), 3)
        assert asked.rules.card == Shares((50, 100), parts_per_gpu=3)

    def test_is_one_of_mig_where_the_profile_is_of_slices(self) -> None:
        assert problem_of([A], measured_on(a=(1, 2, 7)), Rules(), 3).rules.card == Slices((1, 2, 7))
        assert problem_of([A], measured_on(a=(1, 2, 3, 4, 7)), Rules(), 3).rules.card == Slices()
        assert problem_of([A], measured_on(a=(1, 2, 50)), Rules(), 3).rules.card == Shares((1, 2, 50), 3)

    def test_needs_a_share_of_all(self) -> None:
        with pytest.raises(UsageError, match="no share that a, b were all measured on"):
            problem_of([A, B], measured_on(a=(50,), b=(60,)), Rules(), 2)

    def test_matters_only_where_a_model_is_known(self) -> None:
        with pytest.raises(UsageError, match="the profile has no a, only c"):
            problem_of([A], measured_on(c=(50,)), Rules(), 2)


class TestPlacing:
    def test_takes_a_strategy_and_at_least_a_gpu(self) -> None:
        asked = problem(("a", 50, 60))
        with pytest.raises(UsageError, match="there is no strategy 'luck': use time-sharing, equal-shares"):
            place(asked, 1, "luck")
        with pytest.raises(UsageError, match="0 GPUs serve nothing: use 1 or more"):
            place(asked, 0)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_each_strategy_places_what_fits_on_one_gpu(self, strategy: str) -> None:
        found = place(problem(("a", 50, 60), ("b", 20, 100)), 1, strategy)
        assert (len(found.placement.gpus), found.at_least) == (1, 1)

    def test_says_how_many_gpus_are_too_few(self) -> None:
        with pytest.raises(UnplaceableError, match="add GPUs"):
            place(problem(("a", 5000, 60)), 1, "greedy")

    def test_of_a_strategy_that_breaks_rules_the_first_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(STRATEGIES, "luck", lambda problem, gpus: Placement(()))
        with pytest.raises(
            ExperimentError, match=r"luck broke a rule, .*: a: 0 of 50 requests/s are served$"
        ):
            place(problem(("a", 50, 60), ("b", 20, 100)), 1, "luck")

    def test_by_search_leaves_no_room_unused(self) -> None:
        found = place(problem(("a", 10, 200)), 1)
        assert [part.size for _, part in found.placement.parts()] == [100]


class TestPredicting:
    def test_ten_minutes_of_arrivals_are_looked_at_without_the_first_ten_seconds(self) -> None:
        asked = problem(("a", 50, 60))
        (outcome,) = predict(asked, place(asked, 1).placement)
        arrived_s = poisson(50, 600, seed=0)
        assert outcome.requests == int((arrived_s >= 10).sum())

    def test_a_queue_grows_from_the_first_second_on(self) -> None:
        """Of 120 requests/s where 100 get through: who comes after t seconds waits for a fifth of t."""
        table = LatencyTable([Measured("a", 100, 1, 10.0)])
        asked, more = (Problem((Workload("a", "a", rate, 30),), table) for rate in (100.0, 120.0))
        (outcome,) = predict(more, place(asked, 1).placement, seconds=20)
        assert outcome.p50_ms == pytest.approx(15_000 / 5, rel=0.15)

    def test_of_many_requests_the_first_are_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(steps, "MOST_REQUESTS", 1000)
        asked = problem(("a", 50, 60), ("b", 30, 60))
        placement = place(asked, 2).placement
        assert predict(asked, placement) == predict(asked, placement, seconds=10 + 1000 / 80)

    def test_each_workload_has_arrivals_of_its_own_the_same_for_the_same_seed(self) -> None:
        asked = problem(("a", 50, 60), ("a", 50, 60))
        asked = replace(asked, workloads=(asked.workloads[0], replace(asked.workloads[1], name="again")))
        placement = place(asked, 2).placement
        first, second = predict(asked, placement, seconds=60)
        assert first.requests != second.requests
        assert predict(asked, placement, seconds=60)[0] == first
        assert predict(asked, placement, seed=1, seconds=60)[0].requests == second.requests
