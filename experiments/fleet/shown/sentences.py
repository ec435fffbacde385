"""A fleet in sentences: what to do for each demand, and what all of it costs."""

from collections.abc import Iterator

from experiments.base.numbers import plain
from experiments.fleet.fleet import Fleet, Planned
from experiments.fleet.placements import Copies
from experiments.fleet.shown.words import bottleneck, counted, money
from experiments.fleet.sizing import per_million, per_month


def sentence(planned: Planned) -> str:
    """What to do for a demand, in one sentence."""
    chosen, demand = planned.chosen, planned.demand
    row = next(row for row in planned.rows if row.option is chosen)
    offer = chosen.offer
    units = counted(chosen.count, f"card {offer.card}" if offer.card else "instance")
    parts = f", {offer.instances_per_card} instances on each" if offer.instances_per_card > 1 else ""
    lost = f" with {demand.spare} of them lost" if demand.spare else ""
    note = f" ({chosen.note})" if chosen.note else ""
    return (
        f"{demand.name}: use {units}{parts}, {row.way}, {offer}: they serve the peak{lost}{note}; "
        f"the next bottleneck is {bottleneck(row)}. From {offer.source}."
    )


def room(planned: Planned) -> str | None:
    """How many workers a node's cards and vCPUs would hold, by Virtex's rule; None where nobody knows."""
    row = next(row for row in planned.rows if row.option is planned.chosen)
    if row.workers is None:
        return None
    on_node, most = row.workers
    return (
        f"{planned.demand.name}: {counted(on_node, 'worker')} are on a node, "
        f"its cards' memory and its vCPUs have room for {most}"
    )


def cheaper(planned: Planned) -> str | None:
    """What a profile predicts to cost less than what is chosen, and nobody has served; None where nothing."""
    rows = [row for row in planned.rows if row.option and row.option.predicted]
    own = next(row for row in planned.rows if row.option is planned.chosen)
    best = min(rows, key=lambda row: row.likely_per_hour, default=own)
    if best.option is None or best.likely_per_hour >= own.likely_per_hour:
        return None
    cards = counted(best.option.count, f"card {best.card}")
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


def copies_told(found: Copies) -> str:
    """How often a placement is needed, in one sentence."""
    names = ", ".join(found.names)
    if found.why_not:
        return f"{names} as placed in {found.source}: not kept: {found.why_not}"
    where = f"measured on {found.measured_on.split(';')[0]}" if found.measured_on else "placed, not measured"
    times = f"{found.copies} times its {counted(found.cards_each, 'GPU')}"
    return f"{names} as placed in {found.source}: {times}, spare ones included ({where})"


def told(fleet: Fleet) -> Iterator[str]:
    """The fleet's cost, and what its packing saves."""
    currency, per_hour = fleet.prices.currency, fleet.per_hour
    peak_rps = sum(each.demand.mean_rps for each in fleet.planned)
    counts = ", ".join(f"{count} x {kind}" for kind, count in fleet.packed.counts().items())
    yield (
        f"the fleet: {counts}: {money(per_hour)} {currency} an hour, {money(per_month(per_hour))} a month, "
        f"{money(per_million(per_hour, peak_rps))} a million requests"
    )
    at_least = fleet.packed.at_least_per_hour
    if per_hour > at_least * (1 + 1e-6):
        yield f"no packing of them costs less than {money(at_least)} {currency} an hour"
    if fleet.apart_per_hour and fleet.apart_per_hour > per_hour * (1 + 1e-6):
        saved = 100 * (1 - per_hour / fleet.apart_per_hour)
        yield (
            f"services of CPUs run on nodes with cards, too: {saved:.0f} % less than the "
            f"{money(fleet.apart_per_hour)} {currency} an hour of keeping them apart"
        )
    for each in fleet.together:
        yield (
            f"{', '.join(each.names)} on shares of the same {each.card}: {counted(each.cards, 'card')} "
            f"without spare ones (no placement has fewer than {each.at_least}): see `mps.place`"
        )
    yield f"prices: {fleet.prices}"
