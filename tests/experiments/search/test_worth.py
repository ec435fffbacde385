"""What is worth looking for, and what it takes."""

from dataclasses import replace
from math import log, sqrt

import pytest

from experiments.plan import goal_from
from experiments.plan.trial import LOADING_S
from experiments.search import Rules, rules_of
from experiments.search.worth import change_s, worth_finding
from tests.experiments.search.grids import SMALL

# Of Student's t with 12 degrees of freedom, as 6 cells of 3 runs have them: what 1 in 100 is above, and what
# 5 in 1100 are, as the best can be lost in 5 ways without a bound and in 5 + 6 with one.
T_5, T_11 = 2.681, 3.106


def test_what_a_full_grid_could_just_tell_apart_is_worth_finding() -> None:
    assert worth_finding(SMALL, Rules(), 0.015) == pytest.approx(T_5 * 0.015 * sqrt(2 / 3), rel=1e-3)
    bounded = Rules(goal_from("throughput with p99<1s"))
    assert worth_finding(SMALL, bounded, 0.015) == pytest.approx(T_11 * 0.015 * sqrt(2 / 3), rel=1e-3)


def test_but_2_percent_at_least_and_5_at_most() -> None:
    assert worth_finding(SMALL, Rules(), 0.001) == log(1.02)
    assert worth_finding(SMALL, Rules(), 0.1) == log(1.05)


def test_where_nothing_is_repeated_nothing_can_be_told_apart() -> None:
    assert worth_finding(replace(SMALL, runs=1), Rules(), 0.015) == log(1.05)


def test_a_cell_gets_ten_runs_at_most_or_as_many_as_the_plan_has() -> None:
    assert rules_of(SMALL).most_runs == Rules().most_runs == 10
    assert rules_of(replace(SMALL, runs=12)).most_runs == 12


def test_another_cell_takes_a_model_to_load_or_a_server_to_start_or_nothing() -> None:
    now, *_ = SMALL.cells()
    assert change_s(now, now) == 0.0
    assert change_s(now, replace(now, batch_size=4)) == LOADING_S
    assert change_s(now, replace(now, mps=True)) == 6.0 + LOADING_S
    assert change_s(None, now) == 6.0 + LOADING_S
