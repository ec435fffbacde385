"""A fleet told: a table and a sentence for each demand, the nodes and what they hold; and as JSON."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from experiments.base.numbers import plain
from experiments.fleet.fleet import Fleet, Planned, Row, services
from experiments.fleet.offers import Spread
from experiments.fleet.placements import Copies
from experiments.fleet.sizing import per_million, per_month
from experiments.fleet.speedup import Speedup

_HEADINGS = ("way", "card", "settings", "units", "an hour", "a month", "a million", "next bottleneck")
_LEFT = ("way", "card", "settings", "next bottleneck")


def demand_table(planned: Planned, currency: str) -> Table:
    """A line for each way: the units it takes, what they cost with their range, and what is short next."""
    demand = planned.demand
    rates = f"{plain(demand.peak_rps, 3)} requests/s"
    if len(demand.rates_rps) > 1:
        rates = f"up to {rates}, {plain(demand.mean_rps, 3)} on average"
    title = f"{demand.name}: {rates}, {demand.slo}; {currency}"
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right")
    for row in planned.rows:
        mark = " *" if row.option and row.option is planned.chosen else ""
        predicted = ", predicted" if row.option and row.option.predicted else ""
        table.add_row(f"{row.way}{predicted}{mark}", row.card or "none", *_cells(row))
    return table


def sentence(fleet: Fleet, planned: Planned) -> str:
    """What to do for a demand, in one sentence."""
    chosen, demand = planned.chosen, planned.demand
    row = next(row for row in planned.rows if row.option is chosen)
    offer = chosen.offer
    units = _counted(chosen.count, f"card {offer.card}" if offer.card else "instance")
    parts = f", {offer.instances_per_card} instances on each" if offer.instances_per_card > 1 else ""
    lost = f" with {demand.spare} of them lost" if demand.spare else ""
    note = f" ({chosen.note})" if chosen.note else ""
    return (
        f"{demand.name}: use {units}{parts}, {row.way}, {offer}: they serve the peak{lost}{note}; "
        f"the next bottleneck is {_bottleneck(row)}. From {offer.source}."
    )


def cheaper(planned: Planned) -> str | None:
    """What a profile predicts to cost less than what is chosen, and nobody has served; None where nothing."""
    rows = [row for row in planned.rows if row.option and row.option.predicted]
    own = next(row for row in planned.rows if row.option is planned.chosen)
    best = min(rows, key=lambda row: row.likely_per_hour, default=own)
    if best.option is None or best.likely_per_hour >= own.likely_per_hour:
        return None
    cards = _counted(best.option.count, f"card {best.card}")
    return (
        f"{planned.demand.name}: {cards}, {best.way}, would do by the model's latencies alone: "
        "measure it with `mps.run` or `mps.place --run` before relying on it"
    )


def followed(planned: Planned) -> str | None:
    """What instances that follow the day's curve take of those of the peak; None where there is no curve."""
    chosen = planned.chosen
    if len(planned.demand.rates_rps) == 1:
        return None
    return (
        f"{planned.demand.name}: following the curve takes {plain(chosen.mean_units, 3)} units on average "
        f"instead of {chosen.count}: {plain(100 * chosen.mean_units / chosen.count, 2)} % of their hours"
    )


def nodes_table(fleet: Fleet) -> Table:
    """The nodes of the whole fleet, and what each holds."""
    table = Table(box=box.SIMPLE, title="the fleet", title_justify="left")
    for heading in ("nodes", "kind", "each holds", "vCPUs", "memory", "cards", "an hour"):
        table.add_column(heading, justify="left" if heading in ("kind", "each holds") else "right")
    per = {
        each.demand.name: (each.chosen.offer, each.chosen.offer.instances_per_card) for each in fleet.planned
    }
    for node in fleet.packed.nodes:
        held = [(*per[name], count) for name, count in node.holds.items()]
        vcpus = sum(offer.vcpus * on_card * count for offer, on_card, count in held)
        memory = sum(offer.memory_bytes * on_card * count for offer, on_card, count in held)
        cards = sum(count for offer, _, count in held if offer.card)
        table.add_row(
            str(node.count),
            node.kind.kind,
            ", ".join(f"{count} x {name}" for name, count in node.holds.items()),
            f"{vcpus:.3g} of {node.kind.vcpus:g}",
            f"{100 * memory / node.kind.memory_bytes:.0f} %",
            f"{cards} of {node.kind.gpus}" if node.kind.gpus else "",
            _money(node.count * node.kind.price_per_hour),
        )
    return table


def copies_told(found: Copies) -> str:
    """How often a placement is needed, in one sentence."""
    names = ", ".join(found.names)
    if found.why_not:
        return f"{names} as placed in {found.source}: not kept: {found.why_not}"
    where = f"measured on {found.measured_on.split(';')[0]}" if found.measured_on else "placed, not measured"
    times = f"{found.copies} times its {_counted(found.cards_each, 'GPU')}"
    return f"{names} as placed in {found.source}: {times}, spare ones included ({where})"


def scaling_table(found: Speedup) -> Table:
    """A line for each number of cards or cores: what it reached, and its efficiency against the smallest."""
    title = f"scaling: {found.model} on {found.hardware}"
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    for heading in (found.unit, "requests/s", "efficiency", "settings"):
        table.add_column(heading, justify="left" if heading == "settings" else "right")
    for each in found.reached:
        table.add_row(
            plain(each.units, 4),
            _range(each.rps, lambda rps: plain(rps, 4)),
            _range(each.efficiency, lambda share: f"{100 * share:.0f} %"),
            each.settings,
        )
    return table


def told(fleet: Fleet) -> Iterator[str]:
    """The fleet's cost, and what its packing saves."""
    currency, per_hour = fleet.prices.currency, fleet.per_hour
    peak_rps = sum(each.demand.mean_rps for each in fleet.planned)
    counts = ", ".join(f"{count} x {kind}" for kind, count in fleet.packed.counts().items())
    yield (
        f"the fleet: {counts}: {_money(per_hour)} {currency} an hour, {_money(per_month(per_hour))} a month, "
        f"{_money(per_million(per_hour, peak_rps))} a million requests"
    )
    at_least = fleet.packed.at_least_per_hour
    if per_hour > at_least * (1 + 1e-6):
        yield f"no packing of them costs less than {_money(at_least)} {currency} an hour"
    if fleet.apart_per_hour and fleet.apart_per_hour > per_hour * (1 + 1e-6):
        saved = 100 * (1 - per_hour / fleet.apart_per_hour)
        yield (
            f"services of CPUs run on nodes with cards, too: {saved:.0f} % less than the "
            f"{_money(fleet.apart_per_hour)} {currency} an hour of keeping them apart"
        )
    for each in fleet.together:
        yield (
            f"{', '.join(each.names)} on shares of the same {each.card}: {_counted(each.cards, 'card')} "
            f"without spare ones (no placement has fewer than {each.at_least}): see `mps.place`"
        )
    yield f"prices: {fleet.prices}"


def as_json(fleet: Fleet, placed: Sequence[Copies] = (), reached: Speedup | None = None) -> dict[str, Any]:
    """For machines: prices, every way of every demand, the services and the nodes."""
    return {
        "prices": {
            "currency": fleet.prices.currency,
            "region": fleet.prices.region,
            "date": fleet.prices.date,
        },
        "per_hour": fleet.per_hour,
        "per_month": per_month(fleet.per_hour),
        "at_least_per_hour": fleet.packed.at_least_per_hour,
        "apart_per_hour": fleet.apart_per_hour,
        "demands": [_demand(each) for each in fleet.planned],
        "services": [dataclasses.asdict(each) for each in services(fleet)],
        "nodes": [
            {"kind": node.kind.kind, "count": node.count, "holds": dict(node.holds)}
            for node in fleet.packed.nodes
        ],
        "placements": [dataclasses.asdict(each) for each in placed],
        "scaling": dataclasses.asdict(reached) if reached else None,
        "together": [dataclasses.asdict(each) for each in fleet.together],
    }


def _demand(planned: Planned) -> dict[str, Any]:
    demand = planned.demand
    return {
        "name": demand.name,
        "model": demand.model,
        "peak_rps": demand.peak_rps,
        "mean_rps": demand.mean_rps,
        "slo": str(demand.slo),
        "headroom": demand.headroom,
        "spare": demand.spare,
        "ways": [_way(row, planned) for row in planned.rows],
    }


def _way(row: Row, planned: Planned) -> dict[str, Any]:
    known: dict[str, Any] = {"way": row.way, "card": row.card, "chosen": False}
    if row.option is None or row.per_hour is None:
        return known | {"why_not": row.why}
    found = row.option
    return known | {
        "chosen": found is planned.chosen,
        "units": dataclasses.asdict(found.units),
        "at_least": found.at_least,
        "mean_units": found.mean_units,
        "per_hour": dataclasses.asdict(row.per_hour),
        "per_month": {key: per_month(value) for key, value in dataclasses.asdict(row.per_hour).items()},
        "per_million": {
            key: per_million(value, found.demand.mean_rps)
            for key, value in dataclasses.asdict(row.per_hour).items()
        },
        "nodes": dict(row.nodes or {}),
        "used": dict(row.used or {}),
        "offer": dataclasses.asdict(found.offer),
        "note": found.note,
        "predicted": found.predicted,
    }


def _cells(row: Row) -> list[str]:
    if row.option is None or row.per_hour is None:
        return [row.why, *[""] * (len(_HEADINGS) - 3)]
    mean_rps, per_hour = row.option.demand.mean_rps, row.per_hour
    return [
        str(row.option.offer),
        _range(row.option.units, lambda units: f"{units:.0f}"),
        _range(per_hour, _money),
        _money(per_month(per_hour.likely)),
        _range(per_hour, lambda price: _money(per_million(price, mean_rps))),
        _bottleneck(row),
    ]


def _bottleneck(row: Row) -> str:
    shares: Mapping[str, float] = row.used or {}
    name = max(shares, key=lambda each: shares[each])
    where = {"rate": "the card's compute" if row.card else "the CPUs' compute", "memory": "the host's memory"}
    return f"{where.get(name, name)}, {100 * shares[name]:.0f} %"


def _range(spread: Spread, shown: Any) -> str:
    low, likely, high = (str(shown(each)) for each in dataclasses.astuple(spread))
    return likely if low == high else f"{likely} ({low} to {high})"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def _counted(count: int, what: str) -> str:
    first, *rest = what.split(" ", 1)
    return f"{count} {first}{'s' if count != 1 else ''}{' ' + rest[0] if rest else ''}"
