"""Which cells share a panel, what stands along its x axis, and which series tells the rest apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.base.numbers import plain
from experiments.plan import Cell
from experiments.report.drawing.canvas import Series
from experiments.report.drawing.palette import MARKERS, SERIES
from experiments.verdict.verdict import Measured, Verdict
from experiments.verdict.words import arm, counted


@dataclass(frozen=True, slots=True)
class Axis:
    """Something that a plan varies: its name, a cell's value, None where it has none, and that in words."""

    name: str
    value: Callable[[Cell], float | str | None]
    words: Callable[[Cell], str]


# The first of them that a plan varies stands along x; a server, an engine or a precision can't.
RATE = Axis(
    "requests/s sent",
    lambda cell: cell.rate_rps,
    lambda cell: f"{plain(cell.rate_rps or 0, 6)} requests/s sent",
)
IN_FLIGHT = Axis(
    "requests in flight", lambda cell: cell.concurrency, lambda cell: f"{cell.concurrency} in flight"
)
INPUTS = Axis(
    "inputs a request", lambda cell: cell.client_batch, lambda cell: f"{cell.client_batch} inputs a request"
)
SIZE = Axis("batch size", lambda cell: cell.batch_size, lambda cell: f"batch size {cell.batch_size}")
WORKERS = Axis("workers", lambda cell: cell.workers, lambda cell: counted(cell.workers, "worker"))
DELAY = Axis(
    "batch delay, ms", lambda cell: cell.batch_delay_ms, lambda cell: f"batch delay {cell.batch_delay_ms} ms"
)
PRECISION = Axis("precision", lambda cell: cell.precision, lambda cell: cell.precision or "as archived")
ENGINE = Axis("engine", lambda cell: cell.engine, lambda cell: cell.engine or "as archived")
SERVER = Axis("server", lambda cell: cell.server, lambda cell: cell.server)
ALONG_X = (RATE, IN_FLIGHT, INPUTS, SIZE, WORKERS, DELAY)
AS_SERIES = (SERVER, ENGINE, WORKERS, SIZE, PRECISION, DELAY, INPUTS, IN_FLIGHT)


@dataclass(frozen=True, slots=True)
class Layout:
    """`x` names the axis, `x_of` gives a cell's place on it; cells of one `panel_of` share a panel, those of
    one `label_of` a series."""

    x: str
    x_of: Callable[[Cell], float]
    panel_of: Callable[[Cell], str]
    label_of: Callable[[Cell], str]
    series: Sequence[Series]

    def panels(self, cells: Sequence[Measured]) -> dict[str, list[Measured]]:
        """The cells by the title of their panel, in the order of the plan."""
        return _grouped(cells, self.panel_of)

    def shown(self, cells: Sequence[Measured]) -> list[tuple[Series, list[Measured]]]:
        """The series that these cells have, each with its cells along the x axis."""
        own = _grouped(sorted(cells, key=lambda measured: self.x_of(measured.cell)), self.label_of)
        return [(series, own[series.label]) for series in self.series if series.label in own]

    def legend(self, cells: Sequence[Measured]) -> list[Series]:
        """The series that are shown; none where there is nothing to tell apart."""
        return [series for series, _ in self.shown(cells)] if len(self.series) > 1 else []


def layout_of(verdict: Verdict) -> Layout:
    """Along x what the plan varies of the load, else batch sizes, else workers. Of the rest, arms are the
    series where there are two of them, else whatever there are colours enough for; panels are what is left.
    """
    cells = verdict.plan.cells()
    x = next((axis for axis in ALONG_X if _varies(axis, cells)), SIZE)
    others = [axis for axis in AS_SERIES if axis is not x and _varies(axis, cells)]
    if verdict.plan.with_mps:
        return _layout(x, others, arm, arms(cells))
    everything = _names(others)
    if len(others) > 0 and len(labels := _labels(cells, everything)) <= len(SERIES):
        return _layout(x, [], everything, series_of(labels))
    for axis in reversed(others):
        if len(labels := _labels(cells, axis.words)) <= len(SERIES) and len(others) > 1:
            return _layout(x, [each for each in others if each is not axis], axis.words, series_of(labels))
    return _layout(x, others, _names([]), series_of([""]))


def best_by_size(cells: Sequence[Measured]) -> list[Measured]:
    """By batch size, for each number of workers and arm the cell with the highest median: its best load."""
    best: dict[tuple[int, int, str], Measured] = {}
    for measured in sorted(cells, key=lambda each: (each.cell.batch_size, each.median_rps)):
        best[measured.cell.batch_size, measured.cell.workers, arm(measured.cell)] = measured
    return list(best.values())


def arms(cells: Sequence[Cell]) -> list[Series]:
    """A series for each arm; MPS off is dashed where there is more than one."""
    return series_of(list(dict.fromkeys(arm(cell) for cell in cells)), dashed="MPS off")


def series_of(labels: Sequence[str], dashed: str = "") -> list[Series]:
    """A series for each label, of different colours and markers."""
    return [
        Series(
            label,
            SERIES[index % len(SERIES)],
            MARKERS[index % len(MARKERS)],
            "--" if label == dashed and len(labels) > 1 else "-",
        )
        for index, label in enumerate(labels)
    ]


def _layout(
    x: Axis, panels: Sequence[Axis], label_of: Callable[[Cell], str], series: Sequence[Series]
) -> Layout:
    def x_of(cell: Cell) -> float:
        return float(x.value(cell) or 1)

    return Layout(x.name, x_of, _names(panels), label_of, series)


def _varies(axis: Axis, cells: Sequence[Cell]) -> bool:
    return len({axis.value(cell) for cell in cells}) > 1


def _names(axes: Sequence[Axis]) -> Callable[[Cell], str]:
    return lambda cell: ", ".join(axis.words(cell) for axis in axes)


def _labels(cells: Sequence[Cell], label_of: Callable[[Cell], str]) -> list[str]:
    return list(dict.fromkeys(map(label_of, cells)))


def _grouped(cells: Sequence[Measured], key: Callable[[Cell], str]) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for measured in cells:
        groups.setdefault(key(measured.cell), []).append(measured)
    return groups
