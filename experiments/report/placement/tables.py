"""The tables of a placement's page."""

from collections.abc import Iterator, Sequence

from experiments.base.numbers import plain
from experiments.placement.reserve import KEPT
from experiments.placement.simulation import Outcome
from experiments.report.placement.compared import Attained, Needed
from experiments.report.placement.parts import Alike
from experiments.report.placement.placing import Placing
from experiments.report.table import NOTHING, Column, Field, Table, number_field
from experiments.verdict.words import TIMES, percent


def of_parts(placing: Placing, gpus: Sequence[Alike]) -> Table:
    """A row for each resident of each part; equal GPUs once."""
    columns = [
        Column("GPUs", "their numbers; equal ones share a row", numeric=False),
        Column("share" if placing.in_percent else "slices"),
        Column("model", numeric=False),
        Column("batch"),
        Column("batch ms", "what a batch takes, beside its neighbours"),
        Column("every ms", "the cycle, in which everyone on the part gets one batch"),
        Column("requests/s", "that are sent there"),
        Column("up to", "requests/s that could be"),
        Column("at work", "of the time, in full batches"),
    ]
    copies = Column("copies", "processes that share the part")
    several = max(placing.problem.rules.card.processes) > 1
    rows = [row for alike in gpus for row in _rows(placing, alike, several)]
    return Table("parts", [*columns, copies] if several else columns, rows)


def of_models(placing: Placing) -> Table:
    """A row for each workload: what is asked, what is expected, and what came of it where it was measured."""
    measured = placing.proven.measured if placing.proven else [None] * len(placing.expected)
    columns = [Column("model", numeric=False), Column("asked/s", "requests/s"), Column("bound ms")]
    columns += [Column("served/s", "requests/s, measured")] if placing.proven else []
    for name in ("p50 ms", "p95 ms", "p99 ms", "within"):
        hint = "the part of the requests that keeps the bound" if name == "within" else ""
        if placing.proven:
            columns += [Column(name, f"{hint or 'latency'}, measured"), Column("predicted", hint)]
        else:
            columns.append(Column(name, f"{hint or 'latency'}, predicted"))
    rows = []
    for workload, was, expected in zip(placing.problem.workloads, measured, placing.expected, strict=True):
        figures = [
            field for pair in zip(_figures(was), _figures(expected), strict=True) for field in pair if field
        ]
        served = [number_field(was.throughput_rps)] if was else []
        asked = number_field(workload.rate_rps), number_field(workload.slo_ms)
        rows.append([Field(workload.name), *asked, *served, *figures])
    return Table("models", columns, rows)


def _figures(outcome: Outcome | None) -> list[Field | None]:
    """Percentiles, and the part within the bound."""
    if outcome is None:
        return [None] * 4
    percentiles = outcome.p50_ms, outcome.p95_ms, outcome.p99_ms
    return [*(number_field(value) for value in percentiles), within(outcome.attainment)]


def of_load(found: Needed) -> Table:
    """A row for each strategy: the GPUs that it needs, by times the rates."""
    columns = [
        Column("strategy", numeric=False),
        *(Column(f"{TIMES}{plain(factor, 3)}") for factor in found.at_least),
    ]
    rows = [
        [Field(strategy), *(_count(gpus.get(factor)) for factor in found.at_least)]
        for strategy, gpus in found.gpus.items()
    ]
    bound = [Field("lower bound"), *(_count(gpus) for gpus in found.at_least.values())]
    return Table("load", columns, [*rows, bound])


def of_strategies(attained: Sequence[Attained]) -> Table:
    """A row for each strategy: its GPUs, and who keeps the bounds."""
    columns = [
        Column("strategy", numeric=False),
        Column("GPUs"),
        Column("within", "the part of all requests that keeps its bound"),
        Column("least within", "the same of the model with the least"),
        Column("that model", numeric=False),
        Column("its p99 ms"),
    ]
    rows = []
    for each in attained:
        if not each.gpus:
            rows.append([Field(each.strategy), *[NOTHING] * 5])
            continue
        worst = each.worst
        rows.append(
            [
                Field(each.strategy),
                _count(each.gpus),
                within(each.attainment),
                within(worst.attainment),
                Field(worst.workload),
                number_field(worst.p99_ms),
            ]
        )
    return Table("strategies", columns, rows)


def _count(value: int | None) -> Field:
    return NOTHING if value is None else Field(f"{value:,}", value)


def within(attainment: float) -> Field:
    """The part of the requests within the bound, marked where that is too few."""
    return Field(percent(attainment), attainment, look="" if attainment >= KEPT else "warn")


def _rows(placing: Placing, alike: Alike, several: bool) -> Iterator[list[Field]]:
    for used in alike.parts:
        for share in used.shares:
            yield [
                Field(numbers(alike.numbers), alike.numbers[0]),
                Field(placing.unit(used.part.size), used.part.size),
                Field(placing.problem.workloads[share.resident.workload].name),
                Field(f"{share.resident.batch}", share.resident.batch),
                number_field(share.latency_ms),
                number_field(used.part.duty_ms),
                number_field(share.rate_rps),
                number_field(used.part.capacity_rps(share.resident)),
                Field(percent(share.busy, 3), share.busy),
                *([Field(f"{used.part.processes}", used.part.processes)] if several else []),
            ]


def numbers(gpus: Sequence[int]) -> str:
    """'0 to 3, 5, 7': numbers that follow each other as a span, and not more than three spans."""
    spans: list[list[int]] = []
    for number in gpus:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    told = [f"{span[0]} to {span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")
