"""Of a cell that two cards have measured, the runs of the last one count."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parts.fake_cards import a_result
from experiments.plan import Plan
from experiments.results import TrialResult
from experiments.results.cards.sittings import last_sittings, of_one_card, sit_down

PLAN = Plan(workers=(1, 2), batch_size=(1,), runs=3)


def run_on(card: str | None, workers: int, run: int, attempt: int = 0) -> TrialResult:
    (trial,) = (
        each
        for each in PLAN.trials()
        if each.cell.workers == workers and each.run == run and not each.cell.twin
    )
    return replace(a_result(replace(trial, attempt=attempt), 100.0), card=card)


def test_results_of_a_single_machine_are_what_they_were() -> None:
    results = [run_on(None, 1, 1), run_on(None, 1, 1, attempt=1)]
    assert of_one_card(results) == results


def test_what_the_lost_card_measured_does_not_count_and_attempts_begin_anew() -> None:
    results = [run_on("a", 1, 1), run_on("a", 1, 2), run_on("a", 2, 1), run_on("b", 1, 1, attempt=1)]
    assert of_one_card(results) == [run_on("a", 2, 1), run_on("b", 1, 1, attempt=0)]


def test_a_card_that_comes_back_begins_anew_too() -> None:
    results = [run_on("a", 1, 1), run_on("b", 1, 1, attempt=1), run_on("a", 1, 1, attempt=2)]
    assert of_one_card(results) == [run_on("a", 1, 1, attempt=0)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((1, 2)), st.integers(1, 3)), max_size=20))
def test_of_every_cell_the_results_that_count_are_of_one_card(seen: list[tuple[str, int, int]]) -> None:
    sittings, results = last_sittings([]), []
    for card, workers, run in seen:
        cell = run_on(card, workers, run).trial.cell
        sitting = sit_down(sittings, cell, card)
        again = sum(
            of.trial.cell == cell and of.trial.run == run and of.card == card
            for of in results
            if of.trial.attempt >= sitting.first_attempt
        )
        result = run_on(card, workers, run, attempt=sitting.first_attempt + again)
        sitting.last_attempt = max(sitting.last_attempt, result.trial.attempt)
        results.append(result)
    keys = [(each.trial.cell, each.trial.run, each.trial.attempt) for each in results]
    assert len(keys) == len(set(keys))  # the file never holds one twice
    counting = of_one_card(results)
    for workers in (1, 2):
        cards = {each.card for each in counting if each.trial.cell.workers == workers}
        assert cards == {card for card, of, _ in seen[::-1] if of == workers and card} & cards
        assert len(cards) == any(of == workers for _, of, _ in seen)
