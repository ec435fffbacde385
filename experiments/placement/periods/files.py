"""Ways through a trace as files: periods.csv, a line per period and way, periods.json with the placements."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.placement.periods.compared import Crossed, Making
from experiments.placement.periods.trace import Period
from experiments.placement.problem import Problem
from experiments.placement.simulation import Outcome

TABLE, PLACEMENTS = "periods.csv", "periods.json"
COLUMNS = ("start_s", "end_s", "placement", "gpus", "moves", "changed", "requests", "within_bound")


def write_periods(
    folder: Path, demand: Problem, periods: Sequence[Period], crossed: Sequence[Crossed], making: Making
) -> list[Path]:
    """Writes both. Raises ExperimentError where they can't be written."""
    table, placements = folder / TABLE, folder / PLACEMENTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for number, period in enumerate(periods):
                lines.writerows(_line(period, number, each) for each in crossed)
        placements.write_text(json.dumps(_content(demand, periods, crossed, making)) + "\n", "utf-8")
    except OSError as error:
        raise ExperimentError(f"can't write to {folder}: {error.strerror}; make room") from error
    return [table, placements]


def _line(period: Period, number: int, crossed: Crossed) -> tuple[object, ...]:
    course = crossed.course
    taken = course.steps[number]
    return (
        period.start_s,
        period.end_s,
        course.name,
        course.gpus[number],
        taken.moves,
        taken.changed,
        crossed.requests[number],
        crossed.within[number],
    )


def _content(
    demand: Problem, periods: Sequence[Period], crossed: Sequence[Crossed], making: Making
) -> dict[str, Any]:
    return {
        "demand": [
            {"name": workload.name, "model": workload.model, "slo_ms": workload.slo_ms}
            for workload in demand.workloads
        ],
        "make_part_s": making.part_s,
        "ahead": making.ahead,
        "periods": [asdict(period) for period in periods],
        "placements": {
            each.course.name: {
                "gpu_s": each.gpu_s,
                "gpus_most": max(each.course.gpus),
                "moves": each.moves,
                "changed": each.changed,
                "attainment": each.attainment,
                "workloads": [_outcome(outcome) for outcome in each.outcomes],
                "by_period": [
                    [[asdict(part) for part in parts] for parts in placement.gpus]
                    for placement in each.course.placements
                ],
            }
            for each in crossed
        },
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """JSON has no infinity: a percentile of requests that were never answered is null."""
    return {name: None if value == float("inf") else value for name, value in asdict(outcome).items()}
