"""The prediction that a search began with, in its folder: who goes on with it, or judges it, has the same."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.files import write_json
from experiments.plan import Cell
from experiments.predict.predicted import Predicted, Predictor
from experiments.results.typed import record_from, strictly_parsed

SCHEMA_VERSION = 1
FILE = "searched_with.json"


def keep_predictions(folder: Path, cells: Iterable[Cell], predictor: Predictor) -> None:
    """Writes what is predicted of each cell. Raises OSError."""
    rows = [{**asdict(cell), "predicted": asdict(predictor(cell))} for cell in cells]
    write_json(folder / FILE, {"schema_version": SCHEMA_VERSION, "cells": rows})


def kept_predictor(folder: Path) -> Predictor | None:
    """What was predicted when the search began; None where nothing was. Raises ExperimentError."""
    path = folder / FILE
    try:
        content = strictly_parsed(path.read_bytes())
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            raise ValueError("another schema version")
        predicted = {record_from(Cell, row): _sensible(row["predicted"]) for row in content["cells"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{path} can't be read ({error}): start a new search") from error
    return predicted.__getitem__


def _sensible(values: object) -> Predicted:
    """Raises ValueError for figures that are not above 0."""
    found = record_from(Predicted, values)
    if not all(value > 0 for value in (found.throughput_rps, found.p50_ms, found.p95_ms, found.p99_ms)):
        raise ValueError("a predicted figure is not above 0")
    return found
