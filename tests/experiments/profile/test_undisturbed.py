"""Rounds of a profile beside other programs."""

import pytest

from experiments.load.goodput.others import Others
from experiments.profile.undisturbed import undisturbed

BUSY = "other programs used 1.00 of 2 cores"


@pytest.mark.parametrize(
    ("busy", "takes", "warnings"),
    [
        ([None], 1, []),
        ([BUSY, None], 2, []),
        ([BUSY] * 3, 3, [f"{BUSY} in each of 3 takes of a round: what it says may be too slow"]),
    ],
)
def test_a_round_is_taken_again_where_others_are_busy(
    monkeypatch: pytest.MonkeyPatch, busy: list[str | None], takes: int, warnings: list[str]
) -> None:
    monkeypatch.setattr(Others, "told", lambda others: busy.pop(0))
    rounds = iter(range(9))
    warned: list[str] = []
    assert undisturbed(lambda: next(rounds), [], warned.append) == takes - 1
    assert warned == warnings
