"""What a fleet is asked for: models, their rates over a day, the latency each may take, and what is spare."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.fleet.reading import GIB, Entry, number, read_entry
from experiments.plan.slo import Slo, parse_slo

POINTS = (24, 96)
"""A curve is of hours, or of quarters of an hour."""
HEADROOM, SPARE, LOADING_S = 0.2, 1, 60.0
_DEMAND = (
    "name",
    "model",
    "rate_rps",
    "curve_rps",
    "slo",
    "headroom",
    "spare",
    "vcpus",
    "memory_gib",
    "loading_s",
    "stated",
)
_STATED = ("capacity_rps", "card", "vcpus", "memory_gib", "note")


@dataclass(frozen=True, slots=True)
class Stated:
    """What an instance is said to do within the bound, measured by others: on a whole `card`, on a CPU
    where that is None."""

    capacity_rps: float
    card: str | None
    vcpus: float
    memory_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests to one model. `rates_rps` is one rate, or a day's in 24 or 96 points.

    `headroom` 0.2 is a fifth more than the peak, which all instances together must serve; with `spare` of
    them lost the rest must still serve the peak. `vcpus` and `memory_bytes` are an instance's, None where
    they are taken from the measurement; `loading_s` what it takes from its start until it answers. Raises
    UsageError where a rate, the headroom or the spare instances can't be. `archive` is what serves it, the
    model's name by default.
    """

    name: str
    model: str
    rates_rps: tuple[float, ...]
    slo: Slo
    headroom: float = HEADROOM
    spare: int = SPARE
    vcpus: float | None = None
    memory_bytes: int | None = None
    loading_s: float = LOADING_S
    stated: tuple[Stated, ...] = ()
    archive: str = ""

    def __post_init__(self) -> None:
        if len(self.rates_rps) not in (1, *POINTS):
            raise UsageError(
                f"{self.name}: a day's curve has 24 or 96 points, not {len(self.rates_rps)}: give one an hour"
            )
        for rate_rps in self.rates_rps:
            number(f"{self.name}: a rate", rate_rps, least=0)
        number(f"{self.name}: its highest rate", self.peak_rps, above=0)
        number(f"{self.name}: `headroom`", self.headroom, least=0)
        number(f"{self.name}: `spare`", self.spare, least=0, whole=True)

    @property
    def peak_rps(self) -> float:
        return max(self.rates_rps)

    @property
    def mean_rps(self) -> float:
        return sum(self.rates_rps) / len(self.rates_rps)


def read_demands(path: Path) -> tuple[Demand, ...]:
    """The demands of a YAML file: `demands:`, a list of `model`, `slo` (p99=100ms), and `rate_rps` or
    `curve_rps`.

    Each may have `name`, `headroom`, `spare`, `vcpus`, `memory_gib`, `loading_s`, and `stated`: what others
    measured, a list of `capacity_rps`, `card`, `vcpus`, `memory_gib`. Raises UsageError where the file can't
    be read or understood, or two demands have one name.
    """
    file = read_entry(path, "a demand", ("demands",))
    entries = enumerate(file.listed("demands"), 1)
    demands = [_demand(Entry(f"{path}, demand {number}", entry, _DEMAND)) for number, entry in entries]
    names = [each.name for each in demands]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{twice[0]} is asked for twice: give one of them another `name`")
    return tuple(demands)


def _demand(entry: Entry) -> Demand:
    archive = entry.text("model")
    model = Path(archive).stem if archive.endswith(".mar") else archive
    if "slo" not in entry:
        raise UsageError(f"{entry.where}: {model} has no bound: give one like `slo: p99=100ms`")
    vcpus = entry.number("vcpus", above=0) if "vcpus" in entry else None
    memory_bytes = round(entry.number("memory_gib", above=0) * GIB) if "memory_gib" in entry else None
    listed = entry.listed("stated") if "stated" in entry else []
    return Demand(
        name=entry.text("name", model),
        model=model,
        archive=archive,
        rates_rps=_rates(entry),
        slo=parse_slo(entry.text("slo")),
        headroom=entry.number("headroom", HEADROOM, least=0),
        spare=int(entry.number("spare", SPARE, least=0, whole=True)),
        vcpus=vcpus,
        memory_bytes=memory_bytes,
        loading_s=entry.number("loading_s", LOADING_S, above=0),
        stated=tuple(
            _stated(Entry(f"{entry.where}, stated {place}", each, _STATED))
            for place, each in enumerate(listed, 1)
        ),
    )


def _rates(entry: Entry) -> tuple[float, ...]:
    if ("rate_rps" in entry) == ("curve_rps" in entry):
        raise UsageError(f"{entry.where}: give `rate_rps` or `curve_rps`, one of them")
    if "rate_rps" in entry:
        return (entry.number("rate_rps", above=0),)
    curve: Sequence[object] = entry.listed("curve_rps")
    if len(curve) not in POINTS:
        raise UsageError(
            f"{entry.where}: `curve_rps` has 24 or 96 points, not {len(curve)}: give one an hour"
        )
    points = enumerate(curve, 1)
    return tuple(
        number(f"{entry.where}: point {place} of `curve_rps`", each, least=0) for place, each in points
    )


def _stated(entry: Entry) -> Stated:
    return Stated(
        capacity_rps=entry.number("capacity_rps", above=0),
        card=entry.text("card") if "card" in entry else None,
        vcpus=entry.number("vcpus", above=0),
        memory_bytes=round(entry.number("memory_gib", above=0) * GIB),
        note=entry.text("note") if "note" in entry else "",
    )
