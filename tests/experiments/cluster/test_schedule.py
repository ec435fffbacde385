"""Which card measures what next, whatever happens to the cards."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from experiments.cluster.groups import Group
from experiments.cluster.schedule import MOST_LOSSES, Schedule
from experiments.plan import Plan

CELLS = Plan(workers=tuple(range(1, 13)), batch_size=(1,), noise_floor=False).cells()
CARDS = ("a", "b", "c", "d")


def groups(*takes_s: float, begun_on: str | None = None) -> list[Group]:
    return [Group((cell,), takes, begun_on) for cell, takes in zip(CELLS, takes_s, strict=False)]


def test_a_card_begins_with_its_check_and_gets_the_longest_group_then() -> None:
    short, long = groups(1, 5)
    schedule = Schedule([short, long], ["a"])
    work = schedule.next_for("a")
    assert work is not None
    assert work.group is None
    assert schedule.next_for("a") is None  # it is at work
    schedule.done("a")
    assert [each.group for each in (schedule.next_for("a"),) if each] == [long]


def test_a_card_that_finds_no_group_is_not_checked() -> None:
    schedule = Schedule(groups(1), ["a", "b"])
    assert schedule.next_for("a") is not None
    assert schedule.next_for("b") is None


def test_what_a_card_had_begun_before_goes_back_to_it() -> None:
    schedule = Schedule(groups(1, 9, begun_on="b"), ["a", "b"], checked=["a", "b"])
    assert schedule.next_for("a") is None
    work = schedule.next_for("b")
    assert work is not None
    assert work.group is not None
    assert work.group.begun_on == "b"


def test_what_a_card_had_begun_that_is_not_there_any_more_goes_anywhere_anew() -> None:
    schedule = Schedule(groups(1, begun_on="gone"), ["a"], checked=["a"])
    work = schedule.next_for("a")
    assert work is not None
    assert work.group == groups(1)[0]


def test_a_group_that_costs_two_cards_is_told() -> None:
    (group,) = groups(1)
    schedule = Schedule([group], CARDS, checked=CARDS)
    for card in CARDS[: MOST_LOSSES - 1]:
        schedule.next_for(card)
        assert schedule.lost(card) is None
    schedule.next_for(CARDS[MOST_LOSSES - 1])
    assert schedule.lost(CARDS[MOST_LOSSES - 1]) == group
    assert schedule.over


@dataclass
class Seen:
    """What has happened in a run that is made up."""

    finished_on: dict[Group, str] = field(default_factory=dict)
    checks: dict[str, int] = field(default_factory=dict)
    given_up: list[Group] = field(default_factory=list)


@given(st.lists(st.floats(0, 100), max_size=len(CELLS)), st.data())
def test_every_group_is_measured_on_one_card_whatever_dies(takes_s: list[float], data: st.DataObject) -> None:
    asked = groups(*takes_s)
    schedule, seen = Schedule(asked, CARDS), Seen()
    while True:
        for card in schedule.cards:
            schedule.next_for(card)
        busy = schedule.at_work
        assert set(busy) <= set(schedule.cards)
        if not busy:
            break
        card = data.draw(st.sampled_from(sorted(busy)))
        if len(schedule.cards) > 1 and data.draw(st.integers(0, 5)) == 0:
            seen.given_up += [group for group in [schedule.lost(card)] if group]
            continue
        work = schedule.done(card)
        if work.group is None:
            seen.checks[card] = seen.checks.get(card, 0) + 1
        else:
            assert seen.checks[card] == 1
            assert work.group not in seen.finished_on
            seen.finished_on[work.group] = card
    assert schedule.over
    assert {*seen.finished_on, *seen.given_up} == set(asked)
    assert len(seen.finished_on) + len(seen.given_up) == len(asked)
