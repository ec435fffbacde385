"""What was recorded and published stays readable, and bears out what is said of it."""

from pathlib import Path

import pytest

from benchmarks.until_sure import told_of
from experiments.base.paths import ROOT
from experiments.results.folder import read_plan, read_trials

PUBLISHED = ROOT / "results" / "published"
RECORDED = PUBLISHED / "cpu-epyc-2-cores-24-cells"


@pytest.mark.parametrize("folder", sorted(PUBLISHED.iterdir()), ids=lambda folder: folder.name)
def test_every_published_result_is_read_whatever_version_wrote_it(folder: Path) -> None:
    measured = read_trials(folder)
    assert {result.trial.cell for result in measured} == set(read_plan(folder).cells())
    assert all(result.valid for result in measured)


def test_a_race_decides_like_the_full_grid_in_at_most_half_of_its_measuring_time() -> None:
    told = told_of(RECORDED)
    assert told.cells >= 24
    assert told.agrees
    assert told.share <= 0.5
