"""Latencies by the rules, and what can't be placed at all, told in a line."""

import numpy as np
import pytest

from experiments.base.errors import UsageError
from experiments.placement.card import Shares
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Resident
from experiments.placement.problem import Memory, Problem, Rules, UnplaceableError
from tests.experiments.placement.profiles import problem


class TestLatencies:
    def test_between_measured_batches_lie_on_the_line(self) -> None:
        found = LatencyTable([Measured("a", 50, 2, 10), Measured("a", 50, 4, 30)])
        assert found.curve("a", 50).tolist() == [np.inf, np.inf, 10, 20, 30]
        assert found.interpolated("a", 50, 3)
        assert not found.interpolated("a", 50, 2)

    def test_nothing_is_known_of_other_shares(self) -> None:
        found = LatencyTable([Measured("a", 50, 2, 10)])
        assert found.curve("a", 60).tolist() == [np.inf]
        assert not found.interpolated("a", 60, 2)

    def test_two_of_one_point_are_refused(self) -> None:
        with pytest.raises(UsageError, match="two latencies, 10 and 11 ms"):
            LatencyTable([Measured("a", 50, 2, 10), Measured("a", 50, 2, 11)])

    def test_of_nothing_are_refused(self) -> None:
        with pytest.raises(UsageError, match="was never measured"):
            LatencyTable([Measured("a", 50, 0, 10)])


def test_host_ratio_and_neighbours_add_up() -> None:
    rules = Rules(latency_ratio=1.1, host_ms={"a": [0, 5, 6]})
    found = problem(("a", 1, 1000), rules=rules).latency_ms(0, 100, factor=2.0)
    assert found[1] == pytest.approx((2 * 2 + 5) * 1.1)
    assert found[2] == pytest.approx((3 * 2 + 6) * 1.1)
    assert found[3] == pytest.approx((4 * 2 + 6) * 1.1)


def test_alone_two_batches_fit_into_the_bound() -> None:
    assert problem(("a", 1, 20)).alone(0, 100) == (9, 10.0)
    assert problem(("a", 1, 5)).alone(0, 20) == (0, float("inf"))


class TestWhatCantBePlaced:
    def test_a_model_without_a_profile(self) -> None:
        with pytest.raises(UsageError, match="c: the profile has no c, only a, b"):
            problem(("c", 1, 100))

    def test_a_bound_that_no_batch_of_one_meets(self) -> None:
        with pytest.raises(UnplaceableError, match="bound of 3 ms can't be kept, 4 ms could"):
            problem(("a", 1, 3))

    def test_a_ratio_below_what_was_measured(self) -> None:
        with pytest.raises(UsageError, match="promises more than was measured"):
            Rules(latency_ratio=0.9)

    def test_no_model_at_all(self) -> None:
        with pytest.raises(UsageError, match="nothing to place"):
            problem()

    def test_parts_for_nobody(self) -> None:
        with pytest.raises(UsageError, match="0 models on a part serve nothing"):
            Rules(models_per_part=0)
        assert Rules(models_per_part=1, latency_ratio=1.0) == Rules(models_per_part=1)

    def test_a_model_that_was_measured_on_none_of_the_cards_parts(self) -> None:
        table = LatencyTable([Measured("a", 30, 1, 5.0), Measured("a", 70, 1, 3.0)])
        with pytest.raises(UsageError, match="the profile of a has none of the sizes 50, 100, only 30, 70"):
            Problem((Workload("a", "a", 1, 100),), table, Rules(card=Shares((50, 100))))

    @pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("inf"), float("nan")])
    def test_latencies_that_no_clock_shows(self, latency_ms: float) -> None:
        with pytest.raises(UsageError, match="was never measured"):
            LatencyTable([Measured("a", 50, 1, latency_ms)])


class TestByTheRules:
    def test_by_default_three_models_take_turns_whose_batches_are_formed_before(self) -> None:
        rules = Rules()
        assert (rules.models_per_part, rules.late_binding, rules.latency_ratio) == (3, False, 1.0)
        assert rules.card == Shares()

    def test_the_time_on_the_host_is_the_last_ones_for_larger_batches_and_cut_for_smaller(self) -> None:
        table = LatencyTable([Measured("a", 100, 1, 1.0), Measured("a", 100, 2, 2.0)])
        workloads = (Workload("a", "a", 1, 100),)
        for host_ms in ([0, 5], [0, 5, 5, 7]):
            rules = Rules(card=Shares((100,)), host_ms={"a": host_ms})
            assert Problem(workloads, table, rules).latency_ms(0, 100).tolist() == [np.inf, 6.0, 7.0]

    def test_alone_it_gets_through_what_two_batches_in_the_bound_allow(self) -> None:
        asked = problem(("a", 1, 20), ("b", 1, 6))
        assert asked.alone_rps(0, 100) == 900  # nine each 10 ms
        assert asked.alone(1, 100) == (1, 3.0)  # which is all of the bound
        assert asked.alone_rps(1, 20) == 0
        assert asked.times(2.5).workloads[0].rate_rps == 2.5

    def test_larger_batches_that_get_less_through_are_not_taken(self) -> None:
        table = LatencyTable([Measured("a", 100, 1, 2.0), Measured("a", 100, 2, 10.0)])
        asked = Problem((Workload("a", "a", 1, 100),), table, Rules(card=Shares((100,))))
        assert asked.alone(0, 100) == (1, 2.0)

    def test_processes_each_bring_their_own(self) -> None:
        points = [Measured("a", 100, 1, 10.0, processes) for processes in (1, 2)]
        rules = Rules(card=Shares((100,), processes=(1, 2)))
        asked = Problem((Workload("a", "a", 1, 100),), LatencyTable(points), rules)
        assert asked.alone_rps(0, 100, 1) == 100
        assert asked.alone_rps(0, 100, 2) == 200

    def test_memory_is_that_of_the_processes_and_of_their_models(self) -> None:
        workloads = (Workload("a", "a", 1, 100), Workload("b", "b", 1, 100))
        memory = Memory(10_000, process_bytes=300, model_bytes={"a": 50})
        assert memory.of(Part(50, 10.0, (Resident(0, 1), Resident(1, 1))), workloads) == 350
        assert memory.of(Part(50, 10.0, (Resident(0, 1),), processes=3), workloads) == 1050
        assert Memory(10_000).of(Part(50, 10.0, (Resident(0, 1),)), workloads) == 0

    def test_a_profile_knows_its_models_sizes_and_parts(self) -> None:
        table = LatencyTable(
            [Measured("b", 50, 1, 2.0), Measured("a", 100, 1, 1.0), Measured("a", 50, 1, 2.0)]
        )
        assert table.models() == ["a", "b"]
        assert table.sizes("a") == [50, 100]
        assert table.only([100]).models() == ["a"]
        assert table.only([100]).sizes("a") == [100]
        assert not table.interpolated("a", 50, 1)
        assert table.curve("a", 50, processes=2).tolist() == [np.inf]

    def test_a_line_ends_with_its_last_measured_point(self) -> None:
        table = LatencyTable([Measured("a", 50, 2, 10), Measured("a", 50, 4, 30)])
        assert [batch for batch in range(7) if table.interpolated("a", 50, batch)] == [3]
