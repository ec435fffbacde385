"""A fleet in tables: each demand's ways, the nodes and what they hold, throughput by cards."""

from rich import box
from rich.table import Table

from experiments.base.numbers import plain
from experiments.fleet.fleet import Fleet, Planned, Row
from experiments.fleet.shown.words import bottleneck, money, ranged
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
            money(node.count * node.kind.price_per_hour),
        )
    return table


def scaling_table(found: Speedup) -> Table:
    """A line for each number of cards or cores: what it reached, and its efficiency against the smallest."""
    title = f"scaling: {found.model} on {found.hardware}"
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    for heading in (found.unit, "requests/s", "efficiency", "settings"):
        table.add_column(heading, justify="left" if heading == "settings" else "right")
    for each in found.reached:
        table.add_row(
            plain(each.units, 4),
            ranged(each.rps, lambda rps: plain(rps, 4)),
            ranged(each.efficiency, lambda share: f"{100 * share:.0f} %"),
            each.settings,
        )
    return table


def _cells(row: Row) -> list[str]:
    if row.option is None or row.per_hour is None:
        return [row.why, *[""] * (len(_HEADINGS) - 3)]
    mean_rps, per_hour = row.option.demand.mean_rps, row.per_hour
    return [
        str(row.option.offer),
        ranged(row.option.units, lambda units: f"{units:.0f}"),
        ranged(per_hour, money),
        money(per_month(per_hour.likely)),
        ranged(per_hour, lambda price: money(per_million(price, mean_rps))),
        bottleneck(row),
    ]
