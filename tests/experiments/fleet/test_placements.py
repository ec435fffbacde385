"""How often a placement is needed that was made, or measured, before."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.fleet.demand import Demand
from experiments.fleet.placements import copies_of
from experiments.plan.slo import Slo

MEASURED = ROOT / "results" / "published" / "cpu-epyc-2-cores-two-models"
BERT = Demand("search", "bert", (20.0,), Slo(99, 600))
RESNET = Demand("images", "resnet50", (9.0,), Slo(99, 700))


def test_the_demand_that_takes_the_most_copies_decides() -> None:
    # Measured: 5.77 requests/s of bert, 6.01 of resnet50. 20 x 1.2 / 5.77 = 4.2, and 20 / 5.77 = 3.5 and one
    # more: 5 copies; the images' 9 x 1.2 / 6.01 = 1.8, 9 / 6.01 = 1.5 and one more: 3.
    found = copies_of(MEASURED, [BERT, RESNET])
    assert (found.copies, found.cards_each, found.names) == (5, 1, ("search", "images"))
    assert found.measured_on is not None
    assert copies_of(MEASURED, [RESNET]).copies == 3


def test_a_bound_that_was_not_kept_there() -> None:
    tighter = copies_of(MEASURED, [replace(BERT, slo=Slo(99, 500)), RESNET])
    assert (tighter.copies, tighter.why_not) == (0, "search: placed for 600 ms, asked for p99=500ms")
    rarer = copies_of(MEASURED, [replace(BERT, slo=Slo(99.9, 600))])
    assert rarer.why_not == "search: 99.71 % were within 600 ms"


def test_a_placement_that_nobody_measured_is_taken_at_its_rates(tmp_path: Path) -> None:
    (tmp_path / "placement.json").write_text((MEASURED / "placement.json").read_text("utf-8"), "utf-8")
    found = copies_of(tmp_path, [BERT])  # 20 x 1.2 / 6 = 4, and 20 / 6 = 3.3 and one more: 5
    assert (found.copies, found.measured_on) == (5, None)


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no placement\.json: write one with"):
        copies_of(tmp_path, [BERT])
    with pytest.raises(UsageError, match="places bert, resnet50, which nobody asks for: leave it out"):
        copies_of(MEASURED, [replace(BERT, model="vgg16")])
    (tmp_path / "placement.json").write_text(json.dumps({"demand": [{"name": "bert"}], "gpus": []}), "utf-8")
    with pytest.raises(
        ExperimentError, match=r"placement\.json can't be read: .* is missing: place it again"
    ):
        copies_of(tmp_path, [BERT])
