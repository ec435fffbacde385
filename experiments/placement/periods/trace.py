"""A trace of rates: a CSV file, the periods in it, and what each asks for as a problem of its own."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.placement.demand import Workload
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem

START = "start_s"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_s` to `end_s` every workload of the demand, in its order, is asked at one rate in
    requests/s; 0: not at all."""

    start_s: float
    end_s: float
    rates_rps: tuple[float, ...]

    @property
    def lasts_s(self) -> float:
        return self.end_s - self.start_s


def read_trace(path: Path, workloads: Sequence[Workload]) -> tuple[Period, ...]:
    """The periods of a CSV with the column `start_s` and one for each workload, by its name (`#` begins a
    comment).

    The last period is as long as the one before it. Raises UsageError where the file can't be read, a
    workload has no column or a column no workload, a rate is none, times don't rise, or there are fewer than
    two periods.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read ({error}): give a CSV of rates") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    heading, *rows = csv.reader(StringIO("\n".join(lines)), skipinitialspace=True) if lines else [[]]
    names = [workload.name for workload in workloads]
    _check_heading(path, [name.strip() for name in heading], names)
    columns = [name.strip() for name in heading]
    read = [_row(path, columns, names, row, number) for number, row in enumerate(rows, 1)]
    if len(read) < 2:
        raise UsageError(f"{path}: {len(read)} periods don't say how long they last: give two lines or more")
    for number, ((before_s, _), (start_s, _)) in enumerate(pairwise(read), 2):
        if not start_s > before_s:
            raise UsageError(
                f"{path}, period {number}: {start_s:g} s isn't after {before_s:g} s: let times rise"
            )
    starts = [start_s for start_s, _ in read]
    ends = [*starts[1:], 2 * starts[-1] - starts[-2]]
    return tuple(Period(start_s, end_s, rates) for (start_s, rates), end_s in zip(read, ends, strict=True))


def _check_heading(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    if START not in columns:
        raise UsageError(
            f"{path} has no column {START}: it needs that and one for each of {', '.join(names)}"
        )
    if unknown := [name for name in columns if name not in (START, *names)]:
        raise UsageError(f"{path}: the demand has no workload {unknown[0]!r}, only {', '.join(names)}")
    if missing := [name for name in names if name not in columns]:
        raise UsageError(f"{path}: the rates of {missing[0]} are missing: add a column of that name")
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise UsageError(f"{path}: there are two columns {twice[0]}: leave one out")


def _row(
    path: Path, columns: Sequence[str], names: Sequence[str], row: Sequence[str], number: int
) -> tuple[float, tuple[float, ...]]:
    where = f"{path}, period {number}"
    if len(row) != len(columns):
        raise UsageError(f"{where}: {len(row)} values, {len(columns)} columns: give one for each")
    values = {}
    for name, cell in zip(columns, row, strict=True):
        try:
            values[name] = float(cell)
        except ValueError:
            raise UsageError(f"{where}: {name} is a number, not {cell!r}: 0 where nothing is asked") from None
        if not 0 <= values[name] < float("inf"):
            raise UsageError(f"{where}: {name} is 0 or more, not {cell}")
    return values[START], tuple(values[name] for name in names)


@dataclass(frozen=True, slots=True)
class Asked:
    """A period as a problem of its own: the workloads with a rate above 0 (None: there are none), and their
    `numbers` in the demand."""

    problem: Problem | None
    numbers: tuple[int, ...]

    def to_demand(self, placement: Placement) -> Placement:
        """A placement of the problem with the demand's numbers of workloads."""
        return _renumbered(placement, dict(enumerate(self.numbers)))

    def of_demand(self, placement: Placement) -> Placement:
        """A placement of the demand with the problem's numbers; without what isn't asked for."""
        return _renumbered(placement, {number: index for index, number in enumerate(self.numbers)})


def asked_in(demand: Problem, rates_rps: Sequence[float]) -> Asked:
    """What a demand asks for at these rates."""
    numbers = tuple(number for number, rate in enumerate(rates_rps) if rate > 0)
    workloads = tuple(replace(demand.workloads[number], rate_rps=rates_rps[number]) for number in numbers)
    return Asked(replace(demand, workloads=workloads) if workloads else None, numbers)


def peak(periods: Sequence[Period]) -> tuple[float, ...]:
    """The highest rate of each workload, whenever it is."""
    return tuple(max(rates) for rates in zip(*(period.rates_rps for period in periods), strict=True))


def _renumbered(placement: Placement, number_of: dict[int, int]) -> Placement:
    """The same parts on the same GPUs; a part that nobody is left on is left out."""

    def renumbered(part: Part) -> Part:
        residents = tuple(
            replace(resident, workload=number_of[resident.workload])
            for resident in part.residents
            if resident.workload in number_of
        )
        return replace(part, residents=residents)

    return Placement(
        tuple(
            tuple(left for part in parts if (left := renumbered(part)).residents) for parts in placement.gpus
        )
    )
