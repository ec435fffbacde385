"""The tables of a report: what to show of a summary, how it is written and by what it is sorted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.base.numbers import plain
from experiments.plan import Cell, Plan
from experiments.verdict.stats import OUTCOMES, Comparison
from experiments.verdict.verdict import Measured, Pair, Verdict
from experiments.verdict.words import DASH, GIB, change, counted, interval, number, percent, range_of


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a table: its text, the number that it is sorted by (None: last), its share of the
    column's largest, for a bar behind it, a class for its look, a hint to be shown beside it, an address
    that it leads to."""

    text: str
    value: float | None = None
    share: float | None = None
    look: str = ""
    hint: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """`hint` explains the heading; `numeric` aligns to the right."""

    heading: str
    hint: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of fields, `marked` those that the eye should find."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Field]]
    marked: frozenset[int] = frozenset()

    def markdown(self, most: int) -> str:
        """The first rows as a table of Markdown."""
        lines = [
            [column.heading for column in self.columns],
            ["--:" if column.numeric else ":--" for column in self.columns],
            *([field.text.replace("|", "\\|") for field in row] for row in self.rows[:most]),
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


NOTHING = Field(DASH)
Fill = Callable[[Measured], Field]


def of_cells(verdict: Verdict) -> Table:
    """Every cell of the plan, the most requests/s first; columns without a figure are left out."""
    cells = sorted(verdict.cells, key=lambda measured: -measured.median_rps if measured.rps else float("inf"))
    filled = [(column, [fill(measured) for measured in cells]) for column, fill in _columns(verdict)]
    filled = [(column, fields) for column, fields in filled if any(field != NOTHING for field in fields)]
    best = verdict.advice and verdict.advice.best.cell
    return Table(
        "cells",
        [column for column, _ in filled],
        list(zip(*(fields for _, fields in filled), strict=True)),
        frozenset(index for index, measured in enumerate(cells) if measured.cell == best),
    )


def of_pairs(verdict: Verdict) -> Table:
    """Every pair of cells with MPS and without, in the plan's order."""
    confidences = {percent(pair.comparison.confidence, 3) for pair in verdict.pairs if pair.known}
    stated = confidences.pop() if len(confidences) == 1 else "as much as the runs allow"
    columns = [
        Column("workers"),
        Column("batch"),
        Column("limits", "of the GPU: shares and MiB for each worker, chunks for all together"),
        Column("MPS on/off", "change of requests/s"),
        Column("interval", f"of the ratio, each pair by itself; confidence: {stated}"),
        Column("p", "exact Mann-Whitney, two-sided"),
        Column("p corrected", "Holm, over all pairs"),
        Column("verdict", numeric=False),
    ]
    rows = [_of_pair(pair) for pair in verdict.pairs]
    if not any(pair.with_mps.limits for pair in verdict.pairs):
        columns, rows = columns[:2] + columns[3:], [row[:2] + row[3:] for row in rows]
    return Table("pairs", columns, rows)


def of_invalid(verdict: Verdict) -> Table:
    """What was measured and does not count, and why: a row for each cell and problem."""
    found: dict[tuple[Cell, str], list[int]] = {}
    for result in verdict.invalid:
        for problem in result.problems:
            found.setdefault((result.trial.cell, problem), []).append(result.trial.run)
    return _of_reasons("invalid", "why", verdict.model, found)


def of_flagged(verdict: Verdict) -> Table:
    """What counts, and should yet be looked at with care: a row for each cell and flag."""
    found: dict[tuple[Cell, str], list[int]] = {}
    for result in verdict.trials:
        for flag in result.flags if result.valid else ():
            found.setdefault((result.trial.cell, flag), []).append(result.trial.run)
    counts = "these runs count" + (", unless enough are undisturbed" if verdict.disturbed else "")
    return _of_reasons("flagged", f"flag ({counts})", verdict.model, found)


def _of_reasons(name: str, heading: str, model: str, found: Mapping[tuple[Cell, str], list[int]]) -> Table:
    rows = [
        [
            Field(str(cell).removeprefix(f"{model}, ")),
            Field(", ".join(map(str, runs)), len(runs)),
            Field(reason),
        ]
        for (cell, reason), runs in found.items()
    ]
    columns = [Column("cell", numeric=False), Column("runs"), Column(heading, numeric=False)]
    return Table(name, columns, rows)


def outcome_field(comparison: Comparison) -> Field:
    """A verdict, with its mark."""
    name = comparison.outcome
    return Field(name, -list(OUTCOMES).index(name), look=f"outcome {name.replace(' ', '-')}")


def ratio_field(comparison: Comparison) -> Field:
    """A ratio as a change; a dash where it is not known."""
    known = comparison.ratio == comparison.ratio
    return Field(change(comparison.ratio), comparison.ratio if known else None)


def number_field(value: float | None, scale: float = 1.0, unit: str = "") -> Field:
    """A figure; a dash where it is not known."""
    return NOTHING if value is None else Field(number(value * scale) + unit, value)


def _columns(verdict: Verdict) -> list[tuple[Column, Fill]]:
    pairs = {pair.with_mps: pair for pair in verdict.pairs}
    most = max((measured.median_rps for measured in verdict.cells if measured.rps), default=1.0)
    return [
        (Column("workers"), _workers),
        (Column("batch"), lambda measured: _count(measured, "batch_size")),
        *_of_load(verdict.plan),
        *([(Column("MPS", numeric=False), _mps)] if verdict.plan.with_mps else []),
        (Column("requests/s", "median of the valid runs"), lambda measured: _bar(measured, most)),
        (Column("range", "least and most of the runs"), _range),
        (Column("p50 ms"), _figure("latency_ms_p50")),
        (Column("p95 ms"), _figure("latency_ms_p95")),
        (Column("p99 ms"), _figure("latency_ms_p99")),
        (
            Column("MPS on/off", "requests/s with MPS over those without"),
            lambda measured: _of(pairs, measured, ratio_field),
        ),
        (
            Column("verdict", "on that ratio", numeric=False),
            lambda measured: _of(pairs, measured, outcome_field),
        ),
        (Column("what binds", "what to improve first, from measured shares", numeric=False), _binds),
        (Column("of bare", "served over the bare model"), _figure("served_over_bare", 100, " %")),
        (Column("GPU GiB", "in use on the whole GPU"), _figure("gpu_memory_bytes_total", 1 / GIB)),
        (
            Column("SMs", "multiprocessors that each worker sees"),
            lambda measured: _count(measured, "multiprocessors"),
        ),
        (Column("GPU %", "share of time in which any kernel ran"), _figure("gpu_utilisation_percent")),
        (Column("J/1000", "energy of the GPU per 1000 requests"), _figure("energy_j_per_1000_requests")),
        (
            Column("in flight", "requests at once; in an open loop so many at most"),
            lambda measured: _count(measured, "concurrency"),
        ),
        (Column("runs", "valid of all"), _runs),
        (
            Column("errors", "answers that were not 2xx, and lost connections"),
            lambda measured: _count(measured, "errors"),
        ),
    ]


def _of_load(plan: Plan) -> list[tuple[Column, Fill]]:
    """What else the plan varies, or sets to something unusual."""
    several = max(plan.client_batch) > 1
    return [
        *([(Column("server", numeric=False), _server)] if len(plan.server) > 1 else []),
        *([(Column("engine", numeric=False), _engine)] if len(plan.engine) > 1 else []),
        *([(Column("precision", numeric=False), _precision)] if len(plan.precision) > 1 else []),
        *(
            [(Column("delay ms", "max_batch_delay"), lambda measured: _count(measured, "batch_delay_ms"))]
            if len(plan.batch_delay_ms) > 1
            else []
        ),
        *([(Column("inputs", "in a request"), _figure("client_batch"))] if several else []),
        *([(Column("inputs/s"), _inputs_rps)] if several else []),
        *([(Column("sent/s", "requests/s that were due"), _figure("rate_rps"))] if plan.rate_rps else []),
    ]


def _server(measured: Measured) -> Field:
    return Field(measured.cell.server)


def _engine(measured: Measured) -> Field:
    return Field(measured.cell.engine or "as archived")


def _precision(measured: Measured) -> Field:
    return Field(measured.cell.precision or "as archived")


def _inputs_rps(measured: Measured) -> Field:
    return number_field(measured.median_rps * measured.cell.client_batch) if measured.rps else NOTHING


def _of_pair(pair: Pair) -> list[Field]:
    cell, compared = pair.with_mps, pair.comparison
    return [
        Field(f"{cell.workers}", cell.workers),
        Field(f"{cell.batch_size}", cell.batch_size),
        _limits(cell) if cell.limits else NOTHING,
        ratio_field(compared),
        Field(interval(compared)),
        Field(plain(compared.p, 2), compared.p) if pair.known else NOTHING,
        Field(plain(compared.p_corrected, 2), compared.p_corrected) if pair.known else NOTHING,
        outcome_field(compared),
    ]


def _workers(measured: Measured) -> Field:
    workers = measured.cell.workers
    return Field(f"{workers}{' ↻' if measured.cell.twin else ''}", workers)


def _mps(measured: Measured) -> Field:
    if not measured.cell.mps:
        return Field("off", 0)
    return _limits(measured.cell) if measured.cell.limits else Field("on", 1e9)


def _limits(cell: Cell) -> Field:
    """Sorted by what of the GPU is allowed: percents, then chunks, then memory alone."""
    first = cell.thread_percentage or 100 + (cell.sm_chunks or 1000)
    return Field(", ".join(cell.limits), first * 1e6 + (cell.memory_limit_mib or 0))


def _count(measured: Measured, name: str) -> Field:
    value = measured.known(name)
    return NOTHING if value is None else Field(f"{value:,.0f}", value)


def _figure(name: str, scale: float = 1.0, unit: str = "") -> Fill:
    return lambda measured: number_field(measured.known(name), scale, unit)


def _bar(measured: Measured, most: float) -> Field:
    if not measured.rps:
        return NOTHING
    rps = measured.median_rps
    return Field(number(rps), rps, rps / most, "bar")


def _range(measured: Measured) -> Field:
    if not measured.rps:
        return NOTHING
    low, high = min(measured.rps), max(measured.rps)
    return Field(range_of(low, high), high - low)


def _of(pairs: Mapping[Cell, Pair], measured: Measured, field_of: Callable[[Comparison], Field]) -> Field:
    pair = pairs.get(measured.cell)
    return field_of(pair.comparison) if pair and pair.known else NOTHING


def _binds(measured: Measured) -> Field:
    text = str(measured.row.get("binds") or "")
    return Field(text, hint=str(measured.row.get("binds_because") or "")) if text else NOTHING


def _runs(measured: Measured) -> Field:
    valid, invalid = len(measured.rps), int(measured.row["invalid_runs"])
    hint = f"{counted(invalid, 'invalid run')}" if invalid else ""
    return Field(f"{valid}/{valid + invalid}", valid, look="warn" if invalid else "", hint=hint)
