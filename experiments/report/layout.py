"""Which cells share a panel, what stands along its x axis, and which series tells the rest apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.plan import Cell
from experiments.report.drawing import Series
from experiments.report.palette import MARKERS, SERIES
from experiments.report.run import Measured, Run
from experiments.report.words import arm, counted


@dataclass(frozen=True, slots=True)
class Layout:
    """`x` names the axis, `x_of` gives a cell's place on it; cells of one `panel_of` share a panel, those of
    one `label_of` a series."""

    x: str
    x_of: Callable[[Cell], int]
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


def layout_of(run: Run) -> Layout:
    """Batch sizes along x and a panel for each number of workers, with MPS off and on as series; without an
    arm with MPS, the numbers of workers are the series of a single panel."""
    workers, sizes = sorted(set(run.plan.workers)), sorted(set(run.plan.batch_size))
    along_workers = len(sizes) == 1 < len(workers)
    x, x_of, other_of = ("workers", _workers, _size) if along_workers else ("batch size", _size, _workers)
    name_of = _name_of_size if along_workers else _name_of_workers
    others = sorted({other_of(cell): name_of(cell) for cell in run.plan.cells()}.items())
    panel_of = name_of if len(others) > 1 else _no_name
    if run.plan.with_mps:
        return Layout(x, x_of, panel_of, arm, arms(run.plan.cells()))
    if 1 < len(others) <= len(SERIES):
        return Layout(x, x_of, _no_name, name_of, series_of([name for _, name in others]))
    return Layout(x, x_of, panel_of, _no_name, series_of([""]))


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


def _grouped(cells: Sequence[Measured], key: Callable[[Cell], str]) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for measured in cells:
        groups.setdefault(key(measured.cell), []).append(measured)
    return groups


def _workers(cell: Cell) -> int:
    return cell.workers


def _size(cell: Cell) -> int:
    return cell.batch_size


def _name_of_workers(cell: Cell) -> str:
    return counted(cell.workers, "worker")


def _name_of_size(cell: Cell) -> str:
    return f"batch size {cell.batch_size}"


def _no_name(cell: Cell) -> str:
    return ""
