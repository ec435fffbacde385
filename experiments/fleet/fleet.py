"""Demands, what was measured, and prices -> a fleet: how each demand is served, on which nodes, at what cost.

A pure function of its inputs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.measured import offers_in
from experiments.fleet.offers import SHARING, WAYS, Offer, Refusal, Spread, Way, stated
from experiments.fleet.packing import Item, Packed, pack
from experiments.fleet.prices import InstanceType, Prices
from experiments.fleet.scaling import day_through, thresholds
from experiments.fleet.service import Service
from experiments.fleet.shares import Profile, Together, options_in, together
from experiments.fleet.sizing import Option, instances_on_node, option, used
from experiments.verdict.verdict import Verdict

NOT_MEASURED = "not measured"
MOST_COMBINATIONS = 256
"""So many choices for all demands at once are packed and compared; of more, each demand's cheapest."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to serve a demand, alone on nodes of its own: what that costs an hour, with the range that the
    measurement leaves; or `why` there is none. `used` is the share of each resource that is taken at peak.
    `workers` are those on the cards of a full node, and those for which the cards' memory and the vCPUs have
    room; None where nobody knows what one takes."""

    way: Way
    card: str | None
    option: Option | None = None
    per_hour: Spread | None = None
    nodes: Mapping[str, int] | None = None
    used: Mapping[str, float] | None = None
    why: str = ""
    workers: tuple[int, int] | None = None

    @property
    def likely_per_hour(self) -> float:
        """Infinite where it can't be had."""
        return self.per_hour.likely if self.per_hour else float("inf")


@dataclass(frozen=True, slots=True)
class Planned:
    """A demand, every way to serve it, and the one that is the cheapest in the fleet."""

    demand: Demand
    rows: tuple[Row, ...]
    chosen: Option


@dataclass(frozen=True, slots=True)
class Fleet:
    """All demands on shared nodes. `apart_per_hour` is the cost of the same instances where none without a
    card goes to a node that has one; None where there are no nodes for that."""

    prices: Prices
    planned: tuple[Planned, ...]
    packed: Packed
    apart_per_hour: float | None
    together: tuple[Together, ...] = ()

    @property
    def per_hour(self) -> float:
        return self.packed.per_hour


def plan_fleet(
    demands: Sequence[Demand],
    prices: Prices,
    verdicts: Sequence[Verdict] = (),
    profiles: Sequence[Profile] = (),
) -> Fleet:
    """The cheapest fleet for the demands from what folders, profiles and the demands themselves tell.

    Raises UsageError where nothing is known of a demand or a card has no price, ExperimentError where no way
    that was measured keeps a demand's bound.
    """
    for profile in profiles:
        if not {demand.model for demand in demands} & set(profile.table.models()):
            raise UsageError(f"{profile.source} has none of the models asked for: leave it out")
    rows = [_rows(demand, prices, verdicts, profiles) for demand in demands]
    chosen, packed = _cheapest(rows, prices)
    found = (together(profile, demands, prices) for profile in profiles)
    return Fleet(
        prices,
        tuple(Planned(*each) for each in zip(demands, map(tuple, rows), chosen, strict=True)),
        packed,
        _apart(chosen, prices),
        tuple(each for each in found if each),
    )


def services(fleet: Fleet) -> list[Service]:
    """The fleet as it is deployed: a service for each demand. Where an instance has a whole card and its
    workers have shares, `share_percent` is that of each worker."""
    found = [(each.demand, _service(each.demand, each.chosen)) for each in fleet.planned]
    return [replace(service, scale_at=_scale_at(demand, service)) for demand, service in found]


def items(chosen: Iterable[Option]) -> list[Item]:
    """What is packed: each card with all that is on it, each instance on CPUs by itself."""
    return [_item(each, each.count) for each in chosen]


def _rows(
    demand: Demand, prices: Prices, verdicts: Sequence[Verdict], profiles: Sequence[Profile]
) -> list[Row]:
    options: list[Option] = [option(demand, offer) for offer in stated(demand)]
    refused: list[Refusal] = []
    for verdict in verdicts:
        if verdict.model == demand.model:
            offers, refusals = offers_in(verdict, demand)
            options += [option(demand, offer) for offer in offers]
            refused += refusals
    for profile in profiles:
        for each in options_in(profile, demand, prices):
            options, refused = (
                ([*options, each], refused) if isinstance(each, Option) else (options, [*refused, each])
            )
    if not options and not refused:
        raise UsageError(f"{demand.name}: nothing is known of {demand.model}: give --results or --profile")
    if not options:
        raise ExperimentError(f"{demand.name}: {refused[0].why}: raise its bound, or measure other settings")
    rows = [_row(each, prices) for each in options]
    rows += [Row(each.way, each.card, why=each.why) for each in refused]
    cards = dict.fromkeys(row.card for row in rows if row.card)
    there = {(row.card, row.way) for row in rows}
    rows += [Row(way, card, why=NOT_MEASURED) for card in cards for way in WAYS if (card, way) not in there]
    return sorted(rows, key=lambda row: (row.card or "", ("CPU", *WAYS).index(row.way), row.likely_per_hour))


def _row(found: Option, prices: Prices) -> Row:
    if found.offer.card:
        prices.with_card(found.offer.card)
    counts = (round(each) for each in (found.units.low, found.units.likely, found.units.high))
    packed = [pack([_item(found, count)], prices.instances) for count in counts]
    kind = max(packed[1].nodes, key=lambda node: node.count).kind
    return Row(
        found.offer.way,
        found.offer.card,
        found,
        Spread(*(each.per_hour for each in packed)),
        packed[1].counts(),
        used(found, kind),
        workers=_workers(found.offer, kind),
    )


def _workers(offer: Offer, kind: InstanceType) -> tuple[int, int] | None:
    """Those on the cards of a node, and those that fit there."""
    if not (offer.card and offer.gpu_memory_bytes and kind.gpu_memory_bytes):
        return None
    on_card = offer.workers * offer.instances_per_card
    vcpus_each = offer.vcpus / offer.workers
    most = instances_on_node(
        kind.gpus, kind.gpu_memory_bytes, offer.gpu_memory_bytes / on_card, kind.vcpus, vcpus_each
    )
    return kind.gpus * on_card, most


def _cheapest(rows: Sequence[Sequence[Row]], prices: Prices) -> tuple[list[Option], Packed]:
    """The choice for all demands whose nodes cost the least together; what is only predicted is chosen where
    nothing else keeps the bound."""
    served = [[row for row in each if row.option and not row.option.predicted] or each for each in rows]
    usable = [
        sorted((row for row in each if row.option), key=lambda row: row.likely_per_hour) for each in served
    ]
    each_of = max(1, int(MOST_COMBINATIONS ** (1 / len(usable))))
    best: tuple[list[Option], Packed] | None = None
    for choice in product(*(each[:each_of] for each in usable)):
        chosen = [row.option for row in choice if row.option]
        packed = pack(items(chosen), prices.instances)
        if best is None or packed.per_hour < best[1].per_hour - 1e-9:
            best = chosen, packed
    assert best is not None
    return best


def _apart(chosen: Sequence[Option], prices: Prices) -> float | None:
    try:
        return pack(items(chosen), prices.instances, cards_apart=True).per_hour
    except UsageError:
        return None


def _item(found: Option, count: int) -> Item:
    offer = found.offer
    on_card = offer.instances_per_card
    return Item(found.demand.name, count, on_card * offer.vcpus, on_card * offer.memory_bytes, offer.card)


def _service(demand: Demand, chosen: Option) -> Service:
    offer: Offer = chosen.offer
    on_card = offer.instances_per_card
    in_pod = offer.way == "shares" and on_card > 1
    return Service(
        name=demand.name,
        archive=demand.archive or demand.model,
        workers=offer.workers,
        batch_size=offer.batch_size,
        batch_delay_ms=offer.batch_delay_ms,
        instances=chosen.instances,
        least_instances=on_card * chosen.units_at(min(demand.rates_rps)),
        most_instances=on_card * round(chosen.units.high),
        capacity_rps=offer.rps.likely / on_card,
        bound_ms=demand.slo.bound_ms,
        percentile=demand.slo.percentile,
        vcpus=offer.vcpus,
        memory_bytes=offer.memory_bytes,
        loading_s=demand.loading_s,
        card=offer.card,
        sharing="mps-dra" if in_pod else SHARING[offer.way],
        share_percent=offer.share_percent,
        instances_per_card=on_card,
        gpu_memory_bytes=offer.gpu_memory_bytes and offer.gpu_memory_bytes // on_card,
    )


def _scale_at(demand: Demand, service: Service) -> float | None:
    """From how the day's curve grows while an instance comes, and the headroom for what it doesn't show."""
    if len(demand.rates_rps) == 1:
        return None
    found = thresholds(service, day_through(demand.name, demand.rates_rps))
    return found.target_rps / service.capacity_rps / (1 + demand.headroom)
