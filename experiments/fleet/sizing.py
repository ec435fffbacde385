"""How many instances a rate takes, what holds more of them off a node, what they cost. Pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from experiments.base.errors import UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.offers import Offer, Spread
from experiments.fleet.prices import InstanceType

HOURS_A_MONTH = 730
"""365 days of 24 hours, in twelve months."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve a demand: so many `units` alike, which are cards, or instances on CPUs. Few where the
    measurement's fastest run is the rule, most where its slowest is.

    `at_least` is the lower bound of a placement, 1 where none was made; `note` what is to be known of it.
    `predicted`: from a profile of the model alone, by nobody served that way.
    """

    demand: Demand
    offer: Offer
    units: Spread
    at_least: int = 1
    note: str = ""
    predicted: bool = False

    @property
    def count(self) -> int:
        return round(self.units.likely)

    @property
    def instances(self) -> int:
        """Servers: one to a unit, or several to a card."""
        return self.count * self.offer.instances_per_card

    def units_at(self, rate_rps: float) -> int:
        """Those needed for another rate, never more than for the peak."""
        offer, demand = self.offer, self.demand
        return min(self.count, needed(rate_rps, offer.rps.likely, demand.headroom, demand.spare))

    @property
    def mean_units(self) -> float:
        """Over the day, where instances follow the curve without delay."""
        rates_rps = self.demand.rates_rps
        return sum(map(self.units_at, rates_rps)) / len(rates_rps)


def option(demand: Demand, offer: Offer) -> Option:
    """As many of an offer as the demand's peak needs."""
    low, likely, high = (
        float(needed(demand.peak_rps, rps, demand.headroom, demand.spare))
        for rps in (offer.rps.high, offer.rps.likely, offer.rps.low)
    )
    return Option(demand, offer, Spread(low, likely, high))


def needed(rate_rps: float, capacity_rps: float, headroom: float = 0.0, spare: int = 0) -> int:
    """Instances for a rate: together they serve `headroom` more, without `spare` of them still the rate.

    Raises UsageError for a capacity that isn't above 0.
    """
    if not capacity_rps > 0:
        raise UsageError(f"an instance of {capacity_rps:g} requests/s serves nothing: measure it again")
    with_headroom = ceil(rate_rps * (1 + headroom) / capacity_rps - _ROUNDING)
    without_spare = ceil(rate_rps / capacity_rps - _ROUNDING) + spare
    return max(1, with_headroom, without_spare)


def instances_on_node(
    gpus: int, gpu_memory_bytes: float, model_bytes: float, vcpus: float, vcpus_each: float = 1
) -> int:
    """Copies of a model that a node's cards hold: on each as many as its memory does, in all no more than the
    vCPUs serve.

    The rule is that of Virtex's benchmarks, which print its division upside down: a card's memory is divided
    by the model's. Raises UsageError where the model or its vCPUs are nothing.
    """
    if not (model_bytes > 0 and vcpus_each > 0):
        raise UsageError("a model takes memory and vCPUs: give what was measured")
    return min(gpus * int(gpu_memory_bytes // model_bytes), int(vcpus // vcpus_each))


def used(option: Option, kind: InstanceType) -> Mapping[str, float]:
    """The share of each resource that is taken at the peak, on nodes of a kind; the largest is the next
    bottleneck. What nobody knows is left out.

    `rate` is what its cards (or CPUs) can serve within the bound; `card memory`, `vCPUs` and `memory` are of
    a node that holds as many of its units as fit. An instance on CPUs has vCPUs for its rate, so that is one.
    """
    offer = option.offer
    shares = {"rate": option.demand.peak_rps / (option.count * offer.rps.likely)}
    if offer.card and offer.gpu_memory_bytes and kind.gpu_memory_bytes:
        shares["card memory"] = offer.gpu_memory_bytes / kind.gpu_memory_bytes
    vcpus, memory_bytes = (offer.instances_per_card * each for each in (offer.vcpus, offer.memory_bytes))
    fitting = int(min(kind.vcpus / vcpus + _ROUNDING, kind.memory_bytes / memory_bytes))
    on_node = max(1, min(fitting, option.count, kind.gpus if offer.card else fitting))
    if offer.card:
        shares["vCPUs"] = on_node * vcpus / kind.vcpus
    shares["memory"] = on_node * memory_bytes / kind.memory_bytes
    return shares


def per_unit_of_money(rate_rps: float, price_per_hour: float) -> float:
    """Requests (or embeddings, images) that one dollar, or whatever the price is in, buys at this rate."""
    return rate_rps * 3600 / price_per_hour


def per_million(price_per_hour: float, rate_rps: float) -> float:
    """What a million requests cost at this rate."""
    return 1e6 / per_unit_of_money(rate_rps, price_per_hour)


def per_month(price_per_hour: float) -> float:
    """Of 730 hours."""
    return price_per_hour * HOURS_A_MONTH
