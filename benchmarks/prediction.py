"""How far predictions are off: recorded sweeps beside what their own ceilings predict, cell by cell.

`python -m benchmarks.prediction FOLDER...`, results folders of `python -m mps.run` that hold ceilings. All
cells with a valid run count. The last line is one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.predict.beside import Beside, beside, spread
from experiments.predict.predictor import predictor
from experiments.results import read
from experiments.results.ceilings import read_ceilings

THROUGHPUT_MARK, P99_MARK = 0.10, 0.25  # of the medians, over all cells
WORST = 3


@dataclass(frozen=True, slots=True)
class Errors:
    """Of some cells, as shares of what was measured: median, 90th percentile, worst."""

    cells: int
    throughput: tuple[float, float, float]
    p99: tuple[float, float, float]
    within_interval: float

    def told(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "cells": self.cells,
            "throughput_error": _rounded(self.throughput),
            "p99_error": _rounded(self.p99),
            "within_90_percent_interval": round(self.within_interval, 3),
        }


def errors_of(found: Sequence[Beside]) -> Errors:
    """The errors of these cells."""
    inside = [abs(np.log(each.throughput_ratio)) < 1.645 * each.predicted.log_sd for each in found]
    return Errors(
        len(found),
        spread([each.throughput_error for each in found]),
        spread([each.p99_error for each in found]),
        float(np.mean(inside)) if inside else float("nan"),
    )


def judged(folder: Path, ceilings: Path | None) -> list[Beside]:
    """The cells of a folder, predicted by its own ceilings or those of another. Raises ExperimentError."""
    results = read(folder)
    source = read_ceilings(ceilings) if ceilings else results.ceilings
    if source is None:
        raise UsageError(
            f"{ceilings or folder} holds no ceilings: give --ceilings DIR with some of this model"
        )
    return beside(results, predictor(source, results.plan))


def main(
    folders: Annotated[list[Path], typer.Argument(help="Results folders with ceilings.", show_default=False)],
    ceilings: Annotated[
        Path | None, typer.Option(help="Predict by the ceilings of this folder. [each by its own]")
    ] = None,
) -> None:
    """Predicted beside measured: the errors over all cells of recorded sweeps."""
    try:
        found = {folder.name: judged(folder, ceilings) for folder in folders}
    except ExperimentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    for name, cells in found.items():
        _tell(name, cells)
    everything = [each for cells in found.values() for each in cells]
    if len(found) > 1:
        _tell("all", everything)
    total = errors_of(everything)
    marks = {
        "throughput_within_10_percent": total.throughput[0] <= THROUGHPUT_MARK,
        "p99_within_25_percent": total.p99[0] <= P99_MARK,
    }
    told = {name: errors_of(cells).told() for name, cells in found.items()}
    typer.echo(json.dumps({**told, "all": total.told(), "marks": marks}))


def _tell(name: str, cells: Sequence[Beside]) -> None:
    errors = errors_of(cells)
    typer.echo(f"{name}: {errors.cells} cells")
    for what, (median, ninth, worst) in (("throughput", errors.throughput), ("p99", errors.p99)):
        at = f"{median:.1%} at the median, {ninth:.1%} at the 90th percentile, {worst:.1%} at worst"
        typer.echo(f"  {what:10} off by {at}")
    for each in sorted(cells, key=lambda one: -one.throughput_error)[:WORST]:
        typer.echo(
            f"  {each.cell}: {each.throughput_rps:.4g} requests/s, "
            f"predicted {each.predicted.throughput_rps:.4g}; "
            f"p99 {each.p99_ms:.4g} ms, predicted {each.predicted.p99_ms:.4g}"
        )


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [round(value, 4) if isfinite(value) else None for value in values]


if __name__ == "__main__":
    typer.run(main)
