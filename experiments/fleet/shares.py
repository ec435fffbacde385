"""Profiles -> how many cards a demand takes on whole cards, on shares under MPS, or on MIG instances.

Found by placing it (experiments/placement), with the room for bursts that its simulation asks for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.offers import Offer, Refusal, Spread, Way
from experiments.fleet.prices import Prices
from experiments.fleet.sizing import Option
from experiments.placement.card import Slices
from experiments.placement.demand import Workload
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Placement
from experiments.placement.problem import Memory, Rules, UnplaceableError
from experiments.placement.readers import read_latencies
from experiments.placement.reserve import Reserved, place_with_reserve
from experiments.placement.steps import place, problem_of
from experiments.profile import read_points
from experiments.profile.points import SCHEMA, Point

MOST_CARDS = 100_000
PARTS_PER_CARD = 2
WHOLE = 100
"""The share, in percent, of a profile's row of the whole card."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Latencies of models on parts of a card: the median over the rounds, in the fastest and in the slowest.

    `memory_bytes` is what a process of each model takes of the card's, where that was measured."""

    card: str
    source: str
    table: LatencyTable
    fastest: LatencyTable
    slowest: LatencyTable
    memory_bytes: Mapping[str, int]

    @property
    def sizes(self) -> set[int]:
        return {size for model in self.table.models() for size in self.table.sizes(model)}


def read_profiles(texts: Sequence[str]) -> list[Profile]:
    """FILE, as `python -m mps.profile` writes it on a GPU, or CARD=FILE, any that `mps.place` takes. Files of
    the first kind that are of the same card are one profile.

    Raises UsageError where one can't be read, is of several cards or of a CPU, or doesn't tell its card.
    """
    found: list[Profile] = []
    own: dict[str, tuple[list[str], list[Point]]] = {}
    for text in texts:
        card, _, name = text.rpartition("=")
        path = Path(name)
        table = read_latencies(path)
        if not _is_own(path):
            if not card:
                raise UsageError(f"{path} doesn't tell its card: write CARD={path}, as the prices name it")
            found.append(Profile(card, name, table, table, table, {}))
            continue
        points = read_points(path)
        if any(point.cores is not None for point in points):
            raise UsageError(
                f"{path} is of a CPU, which nobody rents in shares: give --results of it instead"
            )
        sources, all_points = own.setdefault(card or points[0].device, ([], []))
        sources.append(name)
        all_points += points
    return [*found, *(_profile(card, " and ".join(sources), each) for card, (sources, each) in own.items())]


def _is_own(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\r\n") == SCHEMA


def _profile(card: str, source: str, points: Sequence[Point]) -> Profile:
    memory_bytes: dict[str, int] = {}
    for point in points:
        memory_bytes[point.model] = max(memory_bytes.get(point.model, 0), point.memory_bytes)
    table, fastest, slowest = (_table(points, f"latency_ms_p50{end}") for end in ("", "_least", "_most"))
    return Profile(card, source, table, fastest, slowest, memory_bytes)


def options_in(profile: Profile, demand: Demand, prices: Prices) -> list[Option | Refusal]:
    """The demand on whole cards and on parts of them, each where the profile has the sizes. None of another
    model."""
    if demand.model not in profile.table.models():
        return []
    sizes = profile.sizes
    if sizes <= set(Slices().sizes):
        return [_placed(profile, demand, prices, "MIG", sizes)]
    found = [_placed(profile, demand, prices, "whole", {WHOLE})] if WHOLE in sizes else []
    return [*found, _placed(profile, demand, prices, "shares", sizes)] if sizes - {WHOLE} else found


@dataclass(frozen=True, slots=True)
class Together:
    """Several demands on parts of the same cards: so many in all, without spare ones, and the lower bound."""

    card: str
    names: tuple[str, ...]
    cards: int
    at_least: int


def together(profile: Profile, demands: Sequence[Demand], prices: Prices) -> Together | None:
    """All demands that a profile knows, placed together; None where that is fewer than two, or impossible."""
    known = [demand for demand in demands if demand.model in profile.table.models()]
    if len(known) < 2:
        return None
    try:
        found = _reserved(profile, known, prices, profile.sizes)
    except UnplaceableError:
        return None
    names = tuple(demand.name for demand in known)
    return Together(profile.card, names, len(found.placed.placement.gpus), found.placed.at_least)


def _placed(profile: Profile, demand: Demand, prices: Prices, way: Way, sizes: set[int]) -> Option | Refusal:
    if demand.vcpus is None or demand.memory_bytes is None:
        why = "a profile tells no vCPUs and memory of the host: give `vcpus` and `memory_gib`"
        return Refusal(way, profile.card, why)
    try:
        found = _reserved(profile, [demand], prices, sizes)
    except UnplaceableError as error:
        return Refusal(way, profile.card, f"bound not kept: {error}")
    if way == "shares" and all(part.size == WHOLE for _, part in found.placed.placement.parts()):
        return Refusal(way, profile.card, "no better than whole cards")
    cards = [_cards(profile, found, each, sizes) for each in (profile.fastest, profile.slowest)]
    likely = len(found.placed.placement.gpus)
    low, high = min([likely, *filter(None, cards)]), max([likely, *filter(None, cards)])
    notes = ["a spare card takes over whatever a lost one held"] if demand.spare else []
    notes += ["bursts keep the bound less often than asked"] if found.short else []
    notes += [] if all(cards) else ["in the profile's slowest rounds the bound isn't kept"]
    return Option(
        demand,
        _offer(profile, demand, way, found.placed.placement),
        Spread(*(float(each + demand.spare) for each in (low, likely, high))),
        found.placed.at_least,
        "; ".join(notes),
        predicted=True,
    )


def _reserved(profile: Profile, demands: Sequence[Demand], prices: Prices, sizes: set[int]) -> Reserved:
    """Placed for the peak and its headroom, with as much more as bursts take."""
    workloads = [
        Workload(each.name, each.model, each.peak_rps * (1 + each.headroom), each.slo.bound_ms)
        for each in demands
    ]
    rules = Rules(memory=_memory(profile, prices))
    problem = problem_of(workloads, profile.table.only(sizes), rules, PARTS_PER_CARD)
    kept = max(each.slo.percentile for each in demands) / 100
    return place_with_reserve(problem, MOST_CARDS, kept=kept)


def _cards(profile: Profile, found: Reserved, table: LatencyTable, sizes: set[int]) -> int | None:
    """Those that the same plan takes by other latencies; None where a bound can't be kept then."""
    if table is profile.table:
        return len(found.placed.placement.gpus)
    try:
        planned = replace(found.planned, table=table.only(sizes))
        return len(place(planned, MOST_CARDS).placement.gpus)
    except ExperimentError:
        return None


def _offer(profile: Profile, demand: Demand, way: Way, placement: Placement) -> Offer:
    """A card of the placement: with the most parts that one has, and their mean share of the rate."""
    cards = len(placement.gpus)
    rps = placement.capacity_rps(0) / cards
    parts = max(len(parts) for parts in placement.gpus)
    size = Counter(part.size for _, part in placement.parts()).most_common(1)[0][0]
    batch = max(part.residents[0].batch for _, part in placement.parts())
    copies = max(part.processes for _, part in placement.parts())
    assert demand.vcpus is not None
    assert demand.memory_bytes is not None
    of_model = profile.memory_bytes.get(demand.model)
    return Offer(
        model=demand.model,
        way=way,
        card=profile.card,
        rps=Spread(rps, rps, rps),
        vcpus=demand.vcpus,
        memory_bytes=demand.memory_bytes,
        source=f"{profile.source}, placed",
        workers=copies,
        batch_size=batch,
        gpu_memory_bytes=of_model and of_model * parts * copies,
        instances_per_card=parts,
        share_percent=size if way == "shares" else None,
    )


def _memory(profile: Profile, prices: Prices) -> Memory | None:
    """Where prices and profile tell it: the card's, by the smallest that can be rented."""
    known = [each.gpu_memory_bytes for each in prices.with_card(profile.card) if each.gpu_memory_bytes]
    return Memory(min(known), 0, profile.memory_bytes) if known and profile.memory_bytes else None


def _table(points: Sequence[Point], column: str) -> LatencyTable:
    return LatencyTable(
        Measured(each.model, each.share_percent, each.batch_size, getattr(each, column)) for each in points
    )
