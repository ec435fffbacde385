"""What a search began with is in its folder: who goes on with it, or judges it, has the same."""

from pathlib import Path

import pytest

from experiments.base.errors import ExperimentError
from experiments.search.kept import FILE, keep_predictions, kept_predictor
from tests.experiments.search.grids import GRID, predicting, served_rps


def test_what_is_kept_is_what_was_predicted(tmp_path: Path) -> None:
    assert kept_predictor(tmp_path) is None
    predict = predicting(served_rps)
    keep_predictions(tmp_path, GRID.cells(), predict)
    kept = kept_predictor(tmp_path)
    assert kept is not None
    assert all(kept(cell) == predict(cell) for cell in GRID.cells())


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema_version": 1, "cells": [{}]}', '{"schema_version": 9}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ExperimentError, match=f"{FILE} can't be read"):
        kept_predictor(tmp_path)
