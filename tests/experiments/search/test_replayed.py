"""Searches replayed on the recorded runs of a whole grid: what they find, and what that would have cost."""

from functools import partial

import pytest

from benchmarks.search.judged import Truth, goals_for, judged
from benchmarks.search.strategies import AtRandom, Search
from benchmarks.search.world import LOADED, SAME, STARTED, World, recorded_in
from experiments.base.paths import ROOT
from experiments.plan import Goal

RECORDED = recorded_in(ROOT / "results" / "published" / "cpu-epyc-2-cores-24-cells")


@pytest.mark.thorough
@pytest.mark.parametrize("goal", goals_for(RECORDED), ids=str)
def test_a_search_finds_what_the_grid_finds_in_a_fifth_of_its_time(goal: Goal) -> None:
    found = judged(Truth(RECORDED, goal), partial(Search, goal), seeds=5)
    assert found.right_share >= 0.8
    assert found.time_share_median < 0.2
    assert found.cells_median < len(RECORDED.runs) / 2


def test_chance_finds_it_less_often() -> None:
    found = judged(Truth(RECORDED, Goal()), partial(AtRandom, Goal()), seeds=20)
    assert found.right_share < 0.8
    assert found.time_share_median <= 0.1


def test_a_run_costs_what_it_took_and_what_was_between() -> None:
    world = World(RECORDED, seed=1)
    one, other = (next(cell for cell in world.cells if cell.workers == number) for number in (1, 2))
    spent_s = []
    for cell in (one, one, other):
        before_s = world.spent_s
        world.measure(cell)
        spent_s.append(world.spent_s - before_s)
    started_s, again_s, changed_s = spent_s
    same_s, loaded_s, server_s = (RECORDED.between_s[kind] for kind in (SAME, LOADED, STARTED))
    assert same_s < loaded_s < server_s
    assert 3.5 < again_s - same_s < 4.5  # a second of warm-up, three measured
    assert started_s > again_s + server_s - same_s
    assert changed_s > again_s


def test_what_comes_out_is_what_was_recorded_in_an_order_of_the_seeds() -> None:
    cell = next(iter(RECORDED.runs))
    recorded = [run.throughput_rps for run in RECORDED.runs[cell]]
    orders = set()
    for seed in range(10):
        world = World(RECORDED, seed)
        for _ in range(len(recorded) + 2):
            world.measure(cell)
        got = [result.throughput_rps for result in world.results]
        assert sorted(got[: len(recorded)]) == sorted(recorded)
        assert set(got) == set(recorded)
        orders.add(tuple(got))
    assert len(orders) > 1
