"""What was recorded and published stays readable, and bears out what is said of it."""

import json
from pathlib import Path

import pytest

from benchmarks.answers_under_shares import wrong
from benchmarks.until_sure import told_of
from experiments.base.paths import ROOT
from experiments.results.folder import read_plan, read_trials

PUBLISHED = ROOT / "results" / "published"
RECORDED = PUBLISHED / "cpu-epyc-2-cores-24-cells"


SWEEPS = sorted(path.parent for path in PUBLISHED.glob("*/trials.jsonl"))


@pytest.mark.parametrize("folder", SWEEPS, ids=lambda folder: folder.name)
def test_every_published_result_is_read_whatever_version_wrote_it(folder: Path) -> None:
    measured = read_trials(folder)
    assert {result.trial.cell for result in measured} == set(read_plan(folder).cells())
    assert all(result.valid for result in measured if not result.answers_wrong)


def test_a_share_of_an_h200_that_answers_wrongly_is_no_result() -> None:
    measured = read_trials(PUBLISHED / "h200-bert-wrong-answers")
    wrong = {result.trial.cell.thread_percentage: result.answers_wrong for result in measured}
    assert {share for share, answers in wrong.items() if answers} == {40, 60}
    assert [result.valid for result in measured] == [not result.answers_wrong for result in measured]
    assert all(result.answers_wrong == 0 for result in read_trials(PUBLISHED / "h200-bert-shares"))


def test_a_race_decides_like_the_full_grid_in_at_most_half_of_its_measuring_time() -> None:
    told = told_of(RECORDED)
    assert told.cells >= 24
    assert told.agrees
    assert told.share <= 0.5


def test_half_precision_is_wrong_at_most_shares_of_an_h200_and_right_at_these() -> None:
    answers = json.loads((PUBLISHED / "h200-answers-under-shares.json").read_text())["answers"]
    wrong_at = {answer["share"]: wrong(answer) for answer in answers}
    assert [share for share, names in wrong_at.items() if not names] == [None, 5, 10, 25, 50, 52, 95, 100]
    assert wrong_at[70] == ["fp16 product 1024x768x3072", "bf16 product 1024x768x3072"]
    assert not any(name.startswith(("fp32", "tf32")) for names in wrong_at.values() for name in names)
