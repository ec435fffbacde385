"""The figures of memory by workers and of energy per 1000 requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from matplotlib.axes import Axes

from experiments.plan import Cell
from experiments.report.drawing.canvas import (
    Figure,
    Panel,
    Series,
    counts_on_x,
    dodge,
    dots,
    from_zero,
    line,
    place,
    plain_axes,
)
from experiments.report.figures.layout import arms
from experiments.results.telemetry import WORKERS
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import GIB, arm, told

Values = Mapping[Cell, float]
ROOM = 1.06


@dataclass(frozen=True, slots=True)
class _Axis:
    """What stands along x, in which unit the values are, and which value of a place the line joins."""

    x: str
    x_of: Callable[[Cell], int]
    unit: str
    joins: Callable[[Sequence[float]], float]
    explained: str


BY_WORKERS = _Axis("workers", lambda cell: cell.workers, "GiB", max, "Most over the batch sizes.")
BY_SIZE = _Axis(
    "batch size", lambda cell: cell.batch_size, "joules", min, "Least over the numbers of workers."
)


def memory(verdict: Verdict) -> Figure | None:
    """GPU memory in use by workers, or where there is no GPU the workers' resident memory; None without."""
    on_gpu = _known(verdict, "gpu_memory_bytes_total")
    values = on_gpu or _resident_bytes(verdict)
    title = "GPU memory in use" if on_gpu else "Resident memory of the workers"
    return _figure("memory", title, {cell: value / GIB for cell, value in values.items()}, BY_WORKERS)


def energy(verdict: Verdict) -> Figure | None:
    """Energy of the GPU per 1000 requests by batch size; None where the GPU did not tell its power."""
    return _figure(
        "energy", "Energy per 1000 requests", _known(verdict, "energy_j_per_1000_requests"), BY_SIZE
    )


def _known(verdict: Verdict, column: str) -> Values:
    found = {measured.cell: measured.known(column) for measured in verdict.grid}
    return {cell: value for cell, value in found.items() if value is not None}


def _resident_bytes(verdict: Verdict) -> Values:
    """For each cell the median over its valid runs."""
    known: dict[Cell, list[float]] = {}
    for result in verdict.trials:
        value = result.telemetry and result.telemetry.rss_bytes.get(WORKERS)
        if result.valid and value and not result.trial.cell.twin:
            known.setdefault(result.trial.cell, []).append(value)
    return {cell: median(values) for cell, values in known.items()}


def _figure(name: str, title: str, values: Values, axis: _Axis) -> Figure | None:
    if not values:
        return None
    series = arms(list(values))
    panel = Panel("", _described(values, series, axis), partial(_draw, values, series, axis))
    return Figure(name, title, [panel], series if len(series) > 1 else ())


def _draw(values: Values, series: Sequence[Series], axis: _Axis, axes: Axes) -> None:
    for index, own in enumerate(series):
        cells = [cell for cell in values if arm(cell) == own.label]
        shift = dodge(index, len(series))
        dots(
            axes,
            own,
            [place(axis.x_of(cell)) + shift for cell in cells],
            [values[cell] for cell in cells],
            size=20,
        )
        joined = _joined(values, own, axis)
        line(axes, own, [place(count) + shift for count in joined], list(joined.values()))
    plain_axes(axes, axis.x, axis.unit)
    counts_on_x(axes, [axis.x_of(cell) for cell in values])
    from_zero(axes, "y", max(values.values()) * ROOM)


def _joined(values: Values, series: Series, axis: _Axis) -> dict[int, float]:
    """The value of each place that the line joins."""
    by_count: dict[int, list[float]] = {}
    for cell, value in values.items():
        if arm(cell) == series.label:
            by_count.setdefault(axis.x_of(cell), []).append(value)
    return {count: axis.joins(by_count[count]) for count in sorted(by_count)}


def _described(values: Values, series: Sequence[Series], axis: _Axis) -> str:
    parts = []
    for own in series:
        figures = [
            f"{count}: {told(value)} {axis.unit}" for count, value in _joined(values, own, axis).items()
        ]
        parts.append(f"{own.label}, by {axis.x}, {'; '.join(figures)}")
    return f"{axis.explained} {'. '.join(parts)}."
