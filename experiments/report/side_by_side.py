"""Servers and engines next to each other: the tables, what they say, what a batch's delay means to each."""

from collections.abc import Sequence

from experiments.report.table import NOTHING, Column, Field, Table, number_field
from experiments.servers.known import SERVERS
from experiments.verdict.side_by_side import Row, at_the_same, at_their_best, what_it_is_worth
from experiments.verdict.stats import Comparison
from experiments.verdict.ties import NAMES
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import interval, number, sentence

COLUMNS = (
    Column("server", numeric=False),
    Column("engine", numeric=False),
    Column("precision", numeric=False),
    Column("workers"),
    Column("batch"),
    Column("requests/s", "median of the valid runs"),
    Column("best over it", "requests/s of the first row over its own"),
    Column("interval", "of that ratio, each pair by itself"),
    Column("p99 ms"),
    Column("alone ms", "median latency of requests sent one at a time, when the model was loaded"),
    Column("CPU ms/request", "of all of the server's processes, under this load"),
    Column("idle CPU", "of one core, without requests, when the model was loaded"),
    Column("RSS MB", "resident in all of the server's processes, at most; shared pages count for each"),
    Column("engine off by", "from torch in fp32, as noted in the archive when it was built"),
    Column("answers off by", "from the right ones, the largest difference in this sweep"),
)


def tables(verdict: Verdict) -> list[Table]:
    """Each server and engine at its best and, where that differs, all at the settings of the best."""
    best, same = at_their_best(verdict), at_the_same(verdict)
    shown = [_table("each-at-its-best", best)]
    if [row.measured for row in best] != [row.measured for row in same] and len(same) > 1:
        shown.append(_table("at-the-same-settings", same))
    return [table for table in shown if table.rows]


def finding(verdict: Verdict) -> str:
    """The margin of the best over the next, and what is advised where that is another."""
    rows = at_their_best(verdict)
    text = sentence(what_it_is_worth(rows, verdict.floor or 1.0))
    if verdict.advice and verdict.advice.passed_over:
        text += f" {sentence(verdict.advice.notes[0])}"
    return text.strip()


def captions(verdict: Verdict) -> list[str]:
    """How to read the tables."""
    delays = [f"{NAMES[name]}: {SERVERS[name].delay}" for name in dict.fromkeys(verdict.plan.server)]
    told = [
        "First each at its best number of workers and batch size, then all at those of the advised one, "
        "where these differ.",
        f"What a batch's delay means. {'. '.join(delays)}.",
    ]
    if len(verdict.plan.server) > 1:
        told.append("A request is the same text to each, in the form that each one's users send.")
    return told


def _table(name: str, rows: Sequence[Row]) -> Table:
    filled = list(zip(*(_fields(row) for row in rows), strict=True))
    kept = [
        (column, fields)
        for column, fields in zip(COLUMNS, filled, strict=False)
        if any(field != NOTHING for field in fields)
    ]
    return Table(
        name, [column for column, _ in kept], list(zip(*(fields for _, fields in kept), strict=True))
    )


def _fields(row: Row) -> list[Field]:
    cell, known = row.measured.cell, row.measured.known
    idle = known("idle_cpu_cores")
    return [
        Field(NAMES[cell.server]),
        _unless_archived(cell.engine),
        _unless_archived(cell.precision),
        Field(f"{cell.workers}", cell.workers),
        Field(f"{cell.batch_size}", cell.batch_size),
        number_field(row.measured.median_rps),
        _times(row.against_best),
        Field(interval(row.against_best)) if row.against_best else NOTHING,
        number_field(known("latency_ms_p99")),
        number_field(known("alone_latency_ms")),
        number_field(known("server_cpu_ms_per_request")),
        NOTHING if idle is None else Field(f"{idle:.1%}", idle),
        number_field(known("server_rss_bytes"), 1e-6),
        _off(row.differs),
        _off(known("answers_worst_difference")),
    ]


def _unless_archived(name: str | None) -> Field:
    return Field(name) if name else NOTHING


def _times(compared: Comparison | None) -> Field:
    return Field(f"{number(compared.ratio)}", compared.ratio) if compared else NOTHING


def _off(value: float | None) -> Field:
    return NOTHING if value is None else Field(f"{value:.2g}", value)
