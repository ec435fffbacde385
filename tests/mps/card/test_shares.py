"""Shares of a card's multiprocessors, against what an H200 was seen to give."""

import json
from dataclasses import replace

import pytest

from experiments.base.paths import ROOT
from mps.card import Gpu, alike, multiprocessors_at, not_in_force, not_in_partition

MEASURED = json.loads((ROOT / "results" / "published" / "h200-answers-under-shares.json").read_text("utf-8"))
H200 = Gpu(0, "GPU-5d1f", "NVIDIA H200", "580.159.04", None, 132, (9, 0), False, None, None, None, None)


def test_shares_come_to_the_multiprocessors_that_were_measured() -> None:
    measured = {each["share"] or 100: each["multiprocessors"] for each in MEASURED["answers"]}
    assert len(measured) > 15
    assert {share: multiprocessors_at(H200, share) for share in measured} == measured


def test_of_other_cards_nothing_is_said() -> None:
    assert multiprocessors_at(replace(H200, compute_capability=(8, 0)), 50) is None
    assert multiprocessors_at(replace(H200, multiprocessors=None), 50) is None
    assert alike(replace(H200, compute_capability=(8, 0)), [50, 51]) == []


def test_shares_that_are_one_and_the_same_are_named() -> None:
    assert alike(H200, [25, 50, 51, 100]) == [
        "shares of 50 and 51 % are the same 66 multiprocessors of NVIDIA H200: "
        "their cells differ by noise alone"
    ]
    assert alike(H200, [50, 52, 100]) == []


@pytest.mark.parametrize(
    ("share", "seen", "said"),
    [
        (50, [66, 66], ""),
        (50, [66, 132], "the share of 50 % is not in force: a worker sees all 132 multiprocessors"),
        (100, [132], ""),
        (100, [66, 132], "the share of 100 % is not in force: a worker sees 66 of 132 multiprocessors"),
        (None, [132], ""),
        (50, None, ""),
    ],
)
def test_a_share_that_is_not_in_force_is_told(share: int | None, seen: list[int] | None, said: str) -> None:
    assert not_in_force(H200, share, seen) == ([said] if said else [])
    assert not_in_force(None, share, seen) == []


def test_a_worker_outside_of_its_partition_is_told() -> None:
    assert not_in_partition(32, [32, 132]) == [
        "the partition of 32 multiprocessors is not in force: a worker sees 132"
    ]
    assert not_in_partition(32, [32, 32]) == []
    assert not_in_partition(32, None) == []
    assert not_in_partition(None, [132]) == []
