"""What the ceilings alone predict, beside what was measured: the table and what it says."""

from collections.abc import Sequence

from experiments.base.errors import ExperimentError
from experiments.predict.beside import Beside, beside, spread
from experiments.report.table import Column, Field, Table, number_field
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import change, configuration, counted, percent, shortened

COLUMNS = (
    Column("cell", numeric=False),
    Column("predicted/s", "requests/s from the ceilings alone"),
    Column("measured/s", "median of the runs that count"),
    Column(
        "measured/predicted", "requests/s; rows are marked where the prediction's doubts don't explain it"
    ),
    Column("p99 ms predicted"),
    Column("p99 ms measured"),
    Column("p99 measured/predicted"),
    Column("filled", "requests in a batch on average, predicted"),
)
NAMED = 3


def of_verdict(verdict: Verdict) -> list[Beside]:
    """Every cell with runs; empty where the folder's ceilings tell nothing."""
    try:
        return beside(verdict.results)
    except ExperimentError:
        return []


def table(found: Sequence[Beside]) -> Table:
    """A row a cell, the least well predicted first."""
    rows = sorted(found, key=lambda each: -each.throughput_error)
    far_off = frozenset(index for index, each in enumerate(rows) if each.far_off)
    return Table("predicted", COLUMNS, [_fields(each) for each in rows], far_off)


def finding(found: Sequence[Beside]) -> str:
    """How far off the prediction is, and where its own uncertainty does not explain that."""
    throughput, *_ = spread([each.throughput_error for each in found])
    p99, *_ = spread([each.p99_error for each in found])
    text = (
        f"From the ceilings alone, throughput would have been predicted within {percent(throughput, 2)} at "
        f"the median of {counted(len(found), 'cell')}, and p99 within {percent(p99, 2)}."
    )
    far_off = sorted((each for each in found if each.far_off), key=lambda each: -each.throughput_error)
    if not far_off:
        return text
    told = [f"{configuration(each.cell)} ({change(each.throughput_ratio)})" for each in far_off]
    return f"{text} Far off, by more than the prediction allows for: {shortened(told, NAMED)}."


def _fields(each: Beside) -> list[Field]:
    ratio, p99_ratio = each.throughput_ratio, each.p99_ratio
    return [
        Field(configuration(each.cell) + (" ↻" if each.cell.twin else "")),
        number_field(each.predicted.throughput_rps),
        number_field(each.throughput_rps),
        Field(change(ratio), ratio),
        number_field(each.predicted.p99_ms),
        number_field(each.p99_ms),
        Field(change(p99_ratio), p99_ratio),
        number_field(each.predicted.filled_batch),
    ]
