"""Two models on this machine's cores side by side, and who is put beside whom."""

import os
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.profile import Asked, profile_side_by_side
from experiments.profile.side_by_side import groups_of
from experiments.serving.arms import MpsOptions
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert

A, B = Path("a.mar"), Path("b.mar")
CORES = len(os.sched_getaffinity(0))


@pytest.mark.wide
@pytest.mark.thorough
@pytest.mark.skipif(CORES < 2, reason="on one core nobody is beside anybody")
def test_a_model_beside_itself_is_measured(tmp_path: Path) -> None:
    archive = build("text", tiny_bert(tmp_path / "tiny"), tmp_path, name="tiny", trial=False)
    asked = Asked([50], [1, 4], rounds=2, look_s=0.01, fewest=3)
    told: list[str] = []
    measured = profile_side_by_side([archive], asked, 2, None, MpsOptions(), told.append, told.append)
    assert told == ["1 of 1: tiny on 50 % beside tiny on 50 %"]
    sizes = [(one.pair.own.batch, one.pair.others[0].batch) for one in measured]
    assert sizes == [(1, 1), (1, 1), (1, 4), (4, 1), (4, 4), (4, 4)]
    assert all(one.latency_ms > 0 and one.pair.times > 0 for one in measured)


def test_everyone_is_beside_everyone_on_shares_that_fill_the_device() -> None:
    assert list(groups_of([A, B], [40, 60, 100], 2)) == [
        ((A, 40), (A, 60)),
        ((A, 40), (B, 60)),
        ((A, 60), (B, 40)),
        ((B, 40), (B, 60)),
    ]
    threes = list(groups_of([A, B], [20, 40], 3))
    assert all(sum(share for _, share in sides) == 100 for sides in threes)
    assert len(threes) == len({tuple(sorted(sides)) for sides in threes}) == 6


@pytest.mark.parametrize(
    ("shares", "together", "told"),
    [
        ([100], 2, "no 2 of the shares fill the device: give some that add up to 100, such as 40,60"),
        ([40, 50], 3, "no 3 of the shares"),
        ([50], 4, "4 side by side can't be measured: use 2 or 3"),
        ([1, 98], 3, f"of {CORES} cores leave none to the last"),
    ],
)
def test_what_cant_be_side_by_side_is_refused(shares: list[int], together: int, told: str) -> None:
    if "cores" in told and CORES > 3:
        pytest.skip("there are cores enough")
    with pytest.raises(UsageError, match=told):
        profile_side_by_side([A], Asked(shares, [1]), together, None, MpsOptions(), print, print)
