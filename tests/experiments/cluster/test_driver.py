"""A plan on several cards, by the driver that is used with Ray; the cards only say that they measure."""

from pathlib import Path

import pytest

from benchmarks.parts.fake_cards import FakeCards
from experiments.base.errors import ExperimentError, UsageError
from experiments.cluster.driver import carry_out
from experiments.cluster.messages import Failed
from experiments.measure import Progress
from experiments.plan import Cell, Plan
from experiments.results import create, read, read_trials
from experiments.results.cards.folders import create_card
from experiments.verdict import judge

PLAN = Plan(workers=(1, 2, 3), batch_size=(1, 4), runs=3)
CARDS = ("a", "b", "c")


class Heard(Progress):
    """What was warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def folder_for(cards: FakeCards, tmp_path: Path) -> Path:
    if not (tmp_path / "plan.json").exists():
        create(tmp_path, cards.plan, {})
    for card in cards.names:
        create_card(tmp_path, card, {})
    return tmp_path


def measured(cards: FakeCards, tmp_path: Path) -> list[str]:
    """Carries the plan out; returns what was warned of."""
    heard = Heard()
    carry_out(cards.plan, folder_for(cards, tmp_path), heard, cards)
    return heard.warnings


def complete_on_one_card_each(folder: Path, plan: Plan = PLAN) -> bool:
    results = read(folder)
    done = {(each.trial.cell, each.trial.run) for each in results.trials}
    cards = {each.trial.cell: set[str | None]() for each in results.trials}
    for each in results.trials:
        cards[each.trial.cell].add(each.card)
    return done == {(each.cell, each.run) for each in plan.trials()} and all(
        len(on) == 1 for on in cards.values()
    )


def test_every_cell_is_measured_on_one_card_and_every_card_measures_the_twin(tmp_path: Path) -> None:
    assert measured(FakeCards(PLAN, CARDS, requests=b"npz"), tmp_path) == []
    assert complete_on_one_card_each(tmp_path)
    results = read(tmp_path)
    assert len(read_trials(tmp_path, PLAN)) == len(PLAN.trials())
    assert {card: len(runs) for card, runs in results.checks.items()} == dict.fromkeys(CARDS, PLAN.runs)
    (first,) = {each.card for each in results.trials if each.trial.cell == PLAN.cells()[0]}
    assert {each.card for each in results.trials if each.trial.cell.twin} == {first}
    positions = {each.trial.position for each in results.trials}
    assert all((tmp_path / "requests" / f"{each:04}.npz").read_bytes() == b"npz" for each in positions)


def test_both_arms_of_a_cell_stay_together(tmp_path: Path) -> None:
    plan = Plan(workers=(1, 2), batch_size=(1, 4), runs=2, with_mps=True, thread_percentage=(25, 50))
    measured(FakeCards(plan, CARDS), tmp_path)
    results = read(tmp_path)
    card_of = {each.trial.cell: each.card for each in results.trials}
    assert all(card == card_of[cell.without_mps] for cell, card in card_of.items() if not cell.twin)


def test_a_lost_card_costs_its_cell_alone_which_is_measured_anew(tmp_path: Path) -> None:
    warnings = measured(FakeCards(PLAN, CARDS, dies_after={"b": PLAN.runs + 1}), tmp_path)
    assert warnings == ["b is lost: its node died; its cell is measured anew on another card"]
    assert complete_on_one_card_each(tmp_path)
    assert len(read_trials(tmp_path, PLAN)) == len(PLAN.trials()) + 1  # what it had finished is kept
    assert "1 runs were measured anew on another card" in read(tmp_path).notes[0]


def test_configurations_of_one_server_go_together_and_those_that_are_done_stay_done(tmp_path: Path) -> None:
    plan = Plan(workers=(1,), batch_size=(1, 2, 3, 4, 5, 6, 7, 8), runs=2)
    cards = FakeCards(plan, ("a", "b"), dies_after={"b": plan.runs + 3})  # in its second configuration
    measured(cards, tmp_path)
    assert complete_on_one_card_each(tmp_path, plan)
    assert max(len(work.cells) for _, work in cards.given) == 2
    assert len(read_trials(tmp_path, plan)) == len(plan.trials()) + 1


def test_without_any_card_left_it_ends_and_goes_on_with_others(tmp_path: Path) -> None:
    dying = FakeCards(PLAN, ("a",), dies_after={"a": PLAN.runs * 2 + 1})
    with pytest.raises(ExperimentError, match="a is lost: its node died"):
        measured(dying, tmp_path)
    assert len(read_trials(tmp_path, PLAN)) in (PLAN.runs + 1, 2 * PLAN.runs + 1)  # with the twin or without
    others = FakeCards(PLAN, ("x", "y"))
    measured(others, tmp_path)
    assert complete_on_one_card_each(tmp_path)
    assert len(others.given) == 2 + 5  # two checks, and all cells but the one that was measured to the end


def test_a_resumed_cell_goes_back_to_its_card_which_measures_what_is_left(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError):
        measured(FakeCards(PLAN, ("a",), dies_after={"a": PLAN.runs + 2}), tmp_path)
    again = FakeCards(PLAN, ("a", "b"))
    measured(again, tmp_path)
    (resumed,) = (work for card, work in again.given if work.earlier and not work.cells[0].twin)
    assert len(resumed.earlier) == 2
    assert len(read_trials(tmp_path, PLAN)) == len(PLAN.trials())
    assert complete_on_one_card_each(tmp_path)


def test_what_is_complete_is_not_measured_again(tmp_path: Path) -> None:
    measured(FakeCards(PLAN, CARDS), tmp_path)
    again = FakeCards(PLAN, CARDS)
    measured(again, tmp_path)
    assert again.given == []


def test_a_card_that_fails_is_left_out_and_what_none_can_measure_ends_it(tmp_path: Path) -> None:
    broken = FakeCards(PLAN, CARDS, fails={"c": Failed("its GPU has fallen off the bus")})
    assert measured(broken, tmp_path / "one")[0].startswith("c: its GPU has fallen off the bus; its cell")
    refusing = FakeCards(PLAN, CARDS, fails={"c": Failed("no such input", exit_code=2)})
    with pytest.raises(UsageError, match="no such input"):
        measured(refusing, tmp_path / "two")


def test_what_separates_the_cards_is_no_difference_of_cells(tmp_path: Path) -> None:
    """Card b is slower by a tenth at everything; the cells are all alike."""

    def rps(card: str, cell: Cell) -> float:
        return 90.0 if card == "b" else 100.0

    plan = Plan(workers=(1, 2), batch_size=(1,), runs=6)
    measured(FakeCards(plan, ("a", "b"), rps), tmp_path)
    verdict = judge(read(tmp_path))
    assert verdict.floor == 1.0
    assert verdict.card_spread == pytest.approx(1 / 0.9)
    assert "they are up to 11.1% apart" in verdict.notes[-1]
    assert verdict.advice is not None
    assert [each.cell for each in verdict.advice.rivals]
