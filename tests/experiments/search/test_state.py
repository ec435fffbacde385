"""A search at one moment: single decisions, on results without noise."""

from collections.abc import Sequence

from experiments.plan import Cell, Trial, goal_from
from experiments.results import TrialResult
from experiments.search import Rules, next_cell, outcome
from tests.experiments.search.grids import SMALL, measured, predicting, served_rps
from tests.support.builders import a_result

CELLS = sorted(SMALL.cells(), key=served_rps, reverse=True)
BEST, SECOND, *_, WORST = CELLS
PREDICTED = predicting(served_rps)


def a_trial(cell: Cell, run: int = 1) -> Trial:
    return Trial(cell, SMALL.load_of(cell), run, 0, 0)


def run_of(cell: Cell, run: int = 1) -> TrialResult:
    return measured(a_trial(cell, run), served_rps, 0.0, 0)


def failed(cell: Cell, run: int = 1) -> TrialResult:
    return a_result(a_trial(cell, run), 0.0, problems=["a worker died"])


def following(results: Sequence[TrialResult], rules: Rules | None = None) -> Cell | None:
    return outcome(SMALL, results, PREDICTED, rules).next_cell


def test_a_cell_that_failed_waits_until_the_others_were_tried() -> None:
    assert following([failed(BEST)]) == SECOND
    assert following([failed(cell) for cell in CELLS]) == BEST
    assert following([failed(cell) for cell in CELLS] + [failed(BEST, 2)]) == SECOND


def test_where_all_keep_failing_there_is_nobody() -> None:
    end = outcome(SMALL, [failed(cell, run) for cell in CELLS for run in (1, 2)], PREDICTED)
    assert (end.next_cell, end.reason) == (None, "every configuration has all the runs that one gets")
    assert end.standing.contenders == ()
    assert set(end.standing.ruled_out.values()) == {"no throughput in 2 runs"}


def test_no_cell_gets_more_runs_than_there_may_be() -> None:
    results = [run_of(cell) for cell in CELLS]
    end = outcome(SMALL, results, PREDICTED, Rules(most_runs=1))
    assert (end.next_cell, end.reason) == (None, "every configuration has all the runs that one gets")
    assert following(results, Rules(most_runs=2)) == BEST


def test_the_leader_gets_as_many_runs_as_in_a_full_grid() -> None:
    results = [run_of(cell) for cell in CELLS]
    assert following([*results, run_of(BEST, 2)]) == BEST
    end = outcome(SMALL, [*results, run_of(BEST, 2), run_of(BEST, 3)], PREDICTED)
    assert end.next_cell is None
    assert end.standing.contenders[0] == BEST
    assert end.standing.ruled_out[WORST] == f"slower than {BEST}"


def test_what_breaks_the_bounds_is_out_and_what_does_so_by_all_that_is_known() -> None:
    rules = Rules(goal_from("throughput with p99<1ms and p50<1ms"))
    end = outcome(SMALL, [run_of(BEST)], PREDICTED, rules)
    assert (end.next_cell, end.reason) == (None, "nothing keeps the bounds")
    assert end.standing.ruled_out[BEST] == "breaks p99<1ms and p50<1ms"
    never = "never measured: by what the others show, breaks p99<1ms and p50<1ms"
    assert {end.standing.ruled_out[cell] for cell in CELLS[1:]} == {never}
    assert end.open == ()
    assert len(end.never_measured) == end.cells - 1 == 5


def test_a_run_that_would_end_after_the_budget_is_not_begun() -> None:
    """It takes 1.5 s to warm up and 4 s."""
    assert next_cell(SMALL, [], PREDICTED, Rules(budget_s=5.5)) == BEST
    end = outcome(SMALL, [], PREDICTED, Rules(budget_s=5.4))
    assert (end.next_cell, end.reason) == (None, "the budget of 5.4 s is spent")
    assert end.predicted
    assert not outcome(SMALL, []).predicted
