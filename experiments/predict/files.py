"""A prediction's files in a results folder: prediction.csv, and prediction.json with what it is from."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.base.errors import ExperimentError
from experiments.base.files import write_json, write_whole
from experiments.plan import Cell
from experiments.predict.best import interval
from experiments.predict.predicted import Predicted

SCHEMA_VERSION = 1
JSON, CSV = "prediction.json", "prediction.csv"


def write_prediction(folder: Path, grid: Mapping[Cell, Predicted], *, goal: str, source: str) -> None:
    """Writes both: each cell with its figures, and the 90 % interval of its requests/s. Raises
    ExperimentError."""
    rows = [_row(cell, found) for cell, found in grid.items() if not cell.twin]
    content = {"schema_version": SCHEMA_VERSION, "goal": goal, "from": source, "cells": rows}
    try:
        write_json(folder / JSON, content)
        write_whole(folder / CSV, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    except OSError as error:
        raise ExperimentError(f"can't write the prediction to {folder}: {error.strerror}") from error


def _row(cell: Cell, found: Predicted) -> dict[str, Any]:
    low_rps, high_rps = interval(found)
    interval_rps = {"throughput_rps_low": low_rps, "throughput_rps_high": high_rps}
    told = {name: value for name, value in asdict(cell).items() if name != "twin"}
    return {**told, **asdict(found), **interval_rps}
