"""What the driver, the program on a card and the one that sends its loads tell each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.bench import Bench
from experiments.cluster.dealt import LoadSeat
from experiments.load import LoadResult, Sending
from experiments.plan import Cell, Plan, Trial
from experiments.results import TrialResult
from mps.card import Gpu

# To a card


@dataclass(frozen=True, slots=True)
class Equip:
    """What all its work is of. The bench's archive is a file of the card's machine; with `takes_archive` the
    card moves it from its folder, which holds nothing else, into its own. Its loads come from `load_seat`,
    from itself without one."""

    plan: Plan
    bench: Bench
    takes_archive: bool = False
    load_seat: LoadSeat | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure all that is left of these cells, for `budget_s` at most. `earlier` are results that this card
    has of them, from before the driver was started anew."""

    cells: tuple[Cell, ...]
    earlier: tuple[TrialResult, ...] = ()
    budget_s: float | None = None


# From a card


@dataclass(frozen=True, slots=True)
class Hello:
    """The card is there. `environment` is what environment.json holds of its machine."""

    environment: Mapping[str, Any]
    gpu: Gpu | None


@dataclass(frozen=True, slots=True)
class Doing:
    """What it does now, for the one who watches."""

    trial: Trial
    what: str


@dataclass(frozen=True, slots=True)
class Again:
    """It measures a trial beside those that were planned."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial, with the content of its requests/NNNN.npz; None where it has none."""

    result: TrialResult
    requests: bytes | None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is not as it should be."""

    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """It has measured what it was given, or is equipped."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It can't go on with what it was given: an ExperimentError or, by its exit code, a UsageError."""

    message: str
    details: str = ""
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class Lost:
    """The card is gone."""

    why: str


# Between a card and the program on another node that sends its loads


@dataclass(frozen=True, slots=True)
class Send:
    """A card asks for a load."""

    sending: Sending
    processes: int
    keep_answers: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the load found. All times are of the clock of the node that sent it: it heard of it at `heard_s`
    and told this at `told_s`. What else it says: results/load_from.py."""

    result: LoadResult
    heard_s: float
    told_s: float
    network_ms: float | None
    cpu_cores_used: float | None
    other_cpu_cores: float | None
    disturbed: str | None


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The load could not be put on the server: a LoadError or, by its exit code, a LimitError."""

    message: str
    exit_code: int = 1


Event = Hello | Doing | Again | Finished | Warned | Done | Failed | Lost | Send | Loaded | NotLoaded
