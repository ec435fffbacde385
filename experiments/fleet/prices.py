"""What instances cost: the user's own file, with its currency, region and date. No price is known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.fleet.reading import GIB, Entry, read_entry

_FILE = ("currency", "region", "date", "note", "instances")
_INSTANCE = (
    "kind",
    "price_per_hour",
    "currency",
    "vcpus",
    "memory_gib",
    "taken_vcpus",
    "taken_memory_gib",
    "gpus",
    "card",
    "gpu_memory_gib",
)


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A kind of node that can be rented. `vcpus` and `memory_bytes` are free for services: what every node
    needs for itself is taken off. `card` is the kind of its `gpus`, None without any; `gpu_memory_bytes` is
    that of one card, None where the file doesn't say."""

    kind: str
    price_per_hour: float
    vcpus: float
    memory_bytes: int
    gpus: int = 0
    card: str | None = None
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Kinds of nodes in one currency, in one region, of one day."""

    currency: str
    region: str
    date: str
    instances: tuple[InstanceType, ...]
    note: str = ""

    def with_card(self, card: str) -> tuple[InstanceType, ...]:
        """The kinds that have it. Raises UsageError where none does."""
        found = tuple(each for each in self.instances if each.card == card)
        if not found:
            known = sorted({each.card for each in self.instances if each.card})
            raise UsageError(
                f"there is no price for a card {card!r}, only for {', '.join(known) or 'none'}: add one"
            )
        return found

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return f"{self.currency}, {self.region}, {self.date}{note}"


def read_prices(path: Path) -> Prices:
    """The prices of a YAML file: `currency`, `region`, `date` and `instances`, a list of `kind`,
    `price_per_hour`, `vcpus`, `memory_gib` and, where it has cards, `gpus`, `card`, `gpu_memory_gib`.

    `taken_vcpus` and `taken_memory_gib` are what each node needs for itself. Raises UsageError where the file
    can't be read or understood, names no kind, a kind twice, or mixes currencies.
    """
    file = read_entry(path, "prices", _FILE)
    currency = file.text("currency")
    instances = [
        _instance(Entry(f"{path}, instance {number}", entry, _INSTANCE), currency)
        for number, entry in enumerate(file.listed("instances"), 1)
    ]
    _distinct(path, instances)
    note = file.text("note") if "note" in file else ""
    return Prices(currency, file.text("region"), file.text("date"), tuple(instances), note)


def _instance(entry: Entry, currency: str) -> InstanceType:
    if (own := entry.text("currency", currency)) != currency:
        raise UsageError(f"{entry.where}: its price is in {own}, the file's in {currency}: use one currency")
    gpus = int(entry.number("gpus", 1 if "card" in entry else 0, least=0, whole=True))
    if bool(gpus) != ("card" in entry):
        raise UsageError(f"{entry.where}: `gpus` and `card` go together: give both, or neither")
    vcpus = entry.number("vcpus", above=0) - entry.number("taken_vcpus", 0, least=0)
    memory_gib = entry.number("memory_gib", above=0) - entry.number("taken_memory_gib", 0, least=0)
    if vcpus <= 0 or memory_gib <= 0:
        raise UsageError(f"{entry.where}: nothing of it is left for services: lower what is taken")
    return InstanceType(
        kind=entry.text("kind"),
        price_per_hour=entry.number("price_per_hour", above=0),
        vcpus=vcpus,
        memory_bytes=round(memory_gib * GIB),
        gpus=gpus,
        card=entry.text("card") if gpus else None,
        gpu_memory_bytes=(
            round(entry.number("gpu_memory_gib", above=0) * GIB) if "gpu_memory_gib" in entry else None
        ),
    )


def _distinct(path: Path, instances: Sequence[InstanceType]) -> None:
    kinds = [each.kind for each in instances]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise UsageError(f"{path}: {twice[0]} has two prices: leave one")
