"""The search for the highest factor of the rates: on servers of known truth, and whatever the looks say."""

import random
from collections.abc import Callable
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.load import OpenLoop
from experiments.load.goodput.evidence import Evidence, evidence
from experiments.load.goodput.looks import in_order
from experiments.plan import Slo
from experiments.together.plan import Served
from experiments.together.search import HIGHEST, LOOKS, LOWEST, Decision, Search, Tried
from tests.support.simulated_server import BatchServer, Simulated

SMALL, LARGE = Served("small", "a", 64.0, Slo(99, 500)), Served("large", "b", 4.0, Slo(95, 1000))
SERVERS = {
    "small": BatchServer(base_s=0.004, each_s=0.002),
    "large": BatchServer(base_s=0.05, each_s=0.09),
}
LOOK_S = 24.0


def looked_at(factor: float, seed: int) -> Tried:
    """Each model on a worker of its own, without a server."""
    found = {}
    for model in (SMALL, LARGE):
        load = OpenLoop(model.rate_rps * factor, LOOK_S, warm_up_s=1.0)
        result = Simulated(SERVERS[model.name]).send(load, seed)
        found[model.name] = evidence(model.slo, in_order(result))
    held = all(
        found[each.name].misses <= each.slo.allowed * found[each.name].requests for each in (SMALL, LARGE)
    )
    return Tried(factor, found, held)


def carried_out(search: Search, look: Callable[[float], Tried]) -> None:
    while (factor := search.next_factor) is not None:
        search.tried.append(look(factor))


def holding_up_to(limit: float, requests: int = 2000) -> Callable[[float], Tried]:
    """A server that answers all requests to the small model in time up to a factor, and none beyond it."""

    def look(factor: float) -> Tried:
        small = Evidence(requests, 0 if factor <= limit else requests, 1.0)
        return Tried(factor, {"small": small, "large": Evidence(requests // 16, 0, 1.0)}, factor <= limit)

    return look


@pytest.mark.thorough
def test_it_finds_the_limit_of_the_model_whose_bound_breaks_first() -> None:
    truths = [SERVERS[each.name].truth_rps(each.slo, 60_000) / each.rate_rps for each in (SMALL, LARGE)]
    off, looks, inside = [], [], []
    for seed in range(20):
        search = Search((SMALL, LARGE))
        carried_out(
            search,
            lambda factor, search=search, seed=seed: looked_at(  # type: ignore[misc]
                factor, 1000 * seed + len(search.tried)
            ),
        )
        decision = search.decision
        assert decision is not None
        assert decision.most is not None
        off.append(abs(decision.factor / min(truths) - 1))
        looks.append(decision.looks)
        inside.append(decision.least <= min(truths) <= decision.most)
    assert median(off) < 0.05
    assert max(off) < 0.25
    assert max(looks) <= LOOKS
    assert sum(inside) >= 16


@pytest.mark.parametrize(("stops", "sure"), [(0.525, True), (0.6, False)])
def test_where_something_fails_soon_above_what_held_that_is_the_limit(stops: float, sure: bool) -> None:
    """Sure where they are 5 % apart, and then there is no further look."""
    search = Search((SMALL, LARGE), looks=100 if sure else 3)
    search.tried = [holding_up_to(1.0)(0.5), Tried(stops, None, False), Tried(stops, None, False)]
    decision = search.decision
    assert decision is not None
    assert (decision.factor, decision.most, decision.sure) == (0.5, stops, sure)


def test_where_nothing_holds_the_factor_is_zero() -> None:
    search = Search((SMALL, LARGE))
    carried_out(search, holding_up_to(0.0))
    assert search.decision is not None
    assert search.decision.factor == 0.0
    assert "not kept even at" in str(search.decision)


def test_where_everything_holds_nothing_is_said_of_the_end() -> None:
    search = Search((SMALL, LARGE))
    carried_out(search, holding_up_to(float("inf")))
    assert search.decision is not None
    assert search.decision.most is None
    assert search.decision.factor > 1


@pytest.mark.thorough
@given(st.floats(0.3, 50.0))
def test_a_limit_as_sharp_as_a_step_is_found(limit: float) -> None:
    search = Search((SMALL, LARGE))
    carried_out(search, holding_up_to(limit))
    assert search.decision is not None
    assert search.decision.factor == pytest.approx(limit, rel=0.15)


def test_a_look_that_something_else_made_fail_does_not_decide() -> None:
    search = Search((SMALL, LARGE))
    search.tried.append(Tried(1.0, None, False))
    assert search.next_factor == 1.0  # again
    carried_out(search, holding_up_to(3.0))
    assert search.decision is not None
    assert search.decision.factor == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize("limit", [0.2, 5.0])
def test_where_requests_fail_the_limit_is_below(limit: float) -> None:
    """Or where the generator can't send them on time."""

    def look(factor: float) -> Tried:
        held = holding_up_to(100.0)(factor)
        return held if factor <= limit else Tried(factor, None, False)

    search = Search((SMALL, LARGE), looks=20)
    carried_out(search, look)
    decision = search.decision
    assert decision is not None
    assert decision.most is not None
    assert decision.factor <= limit < decision.most
    assert decision.sure


@given(st.integers(0, 2**32), st.integers(1, LOOKS))
def test_it_ends_whatever_the_looks_say_and_goes_on_from_those_that_are_there(seed: int, looks: int) -> None:
    draw = random.Random(seed)
    search = Search((SMALL, LARGE), looks)
    while (factor := search.next_factor) is not None:
        assert LOWEST <= factor <= HIGHEST
        assert Search((SMALL, LARGE), looks, list(search.tried)).next_factor == factor
        misses = draw.choice([0, 1, 30, 100])
        found = {"small": Evidence(100, misses, 1.0), "large": Evidence(50, 0, 1.0)}
        tells = draw.random() < 0.7
        search.tried.append(Tried(factor, found if tells else None, tells and misses <= 1))
        assert len(search.tried) <= looks
    assert search.decision is not None


def told(*looks: Tried, most: int = LOOKS) -> Search:
    return Search((SMALL, LARGE), most, list(looks))


def saw(factor: float, small: int = 0, large: int = 0, requests: int = 2000) -> Tried:
    """So many requests to each model were late: of the small one's 1 % may be, of the large one's 5 %."""
    found = {"small": Evidence(requests, small, 1.0), "large": Evidence(requests, large, 1.0)}
    return Tried(factor, found, small <= requests // 100 and large <= requests // 20)


def failed(factor: float) -> Tried:
    return Tried(factor, None, False)


# Where to look next.


def test_it_begins_at_the_rates_of_the_plan_and_goes_on_with_what_can_be_read() -> None:
    assert told().next_factor == 1.0
    following = told(saw(1.0)).next_factor
    assert following is not None
    assert following > 1
    assert following == float(f"{following:.4g}")


def test_the_limit_is_that_of_the_model_whose_bound_breaks_first_in_factors_of_the_rates() -> None:
    """The small one's bound at 10 times its rate, the large one's at 5 times."""
    looks = [saw(5.0, large=100), saw(10.0, small=20, large=2000), saw(5.0, large=100)]
    search = told(*looks, most=3)
    assert search.decision is not None
    assert search.decision.factor == pytest.approx(5.0, rel=0.05)
    assert search.decision.least < 5.0
    assert search.decision.most is not None
    assert 5.0 < search.decision.most < 7.0


def test_a_factor_at_which_something_failed_is_taken_again_once() -> None:
    assert told(saw(1.0), failed(4.0)).next_factor == 4.0
    assert told(saw(1.0), failed(4.0), failed(4.0)).next_factor == 2.0  # their middle
    assert told(saw(1.0), failed(4.0), saw(4.0)).next_factor not in (2.0, 4.0)


def test_where_something_failed_and_nothing_held_a_quarter_is_next() -> None:
    assert told(failed(1.0), failed(1.0)).next_factor == 0.25


@pytest.mark.parametrize(("low", "enough"), [(3.8, False), (3.82, True)])
def test_an_end_where_something_fails_is_known_to_a_twentieth(low: float, enough: bool) -> None:
    search = told(saw(low), failed(4.0), failed(4.0))
    assert (search.next_factor is None) == enough
    if enough:
        decision = search.decision
        assert decision is not None
        assert (decision.factor, decision.most, decision.sure) == (low, 4.0, True)
        assert decision.least <= low


def test_beyond_a_thousand_times_the_rates_nobody_looks() -> None:
    assert told(saw(990.0)).next_factor is None
    assert told(failed(0.0041), failed(0.0041)).next_factor == 0.001025
    assert told(failed(0.0039), failed(0.0039)).next_factor is None


def test_when_it_is_known_it_is_enough_but_not_before_three_looks() -> None:
    sharp = [saw(5.0, small=2000, requests=200_000), saw(5.0, small=2000, requests=200_000)]
    assert told(*sharp).next_factor is not None
    assert told(*sharp, sharp[0]).next_factor is None


# What was found.


def test_there_is_a_decision_when_nothing_is_to_be_looked_at() -> None:
    assert told(saw(1.0)).decision is None
    decision = told(saw(1.0), saw(2.0), most=2).decision
    assert decision is not None
    assert (decision.looks, decision.most, decision.sure) == (2, None, False)


def test_where_nothing_held_the_lowest_that_was_looked_at_is_told() -> None:
    decision = told(saw(1.0, small=2000), saw(0.5, small=2000), saw(0.7, small=2000), most=3).decision
    assert decision == Decision(0.0, 0.0, 0.5, 3, sure=False)
    assert told(failed(1.0), failed(1.0), most=2).decision == Decision(0.0, 0.0, 1.0, 2, sure=False)


def test_where_nothing_held_but_it_is_well_known_where_it_would_that_is_told() -> None:
    looks = [saw(factor, small=late) for factor, late in ((5.05, 30), (5.1, 44), (5.15, 65))]
    decision = told(*looks, most=3).decision
    assert decision is not None
    assert decision.factor == pytest.approx(5.0, rel=0.01)  # a fiftieth less, and half as many are late


def test_what_is_found_is_a_sentence() -> None:
    assert str(Decision(3.14159, 3.0, 3.3, 7, True)) == (
        "every bound is kept up to 3.14 times the rates (95% sure: 3 to 3.3; 7 looks)"
    )
    assert str(Decision(3.0, 2.5, None, 7, False)).endswith("(95% sure: 2.5 to more; 7 looks)")
    assert str(Decision(0.0, 0.0, 0.5, 3, False)) == (
        "some bound is not kept even at 0.5 times the rates (3 looks)"
    )
