"""Placements that `python -m mps.place` wrote -> how many copies of one, cards and all, serve the demands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.demand import Demand
from experiments.fleet.sizing import needed
from experiments.results.typed import record_from, strictly_parsed


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    model: str
    rate_rps: float
    slo_ms: float


@dataclass(frozen=True, slots=True)
class _Placement:
    demand: tuple[_Asked, ...]
    gpus: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Outcome:
    workload: str
    throughput_rps: float
    attainment: float


@dataclass(frozen=True, slots=True)
class _Proof:
    measured_on: str
    measured: tuple[_Outcome, ...]


@dataclass(frozen=True, slots=True)
class Copies:
    """A placement on `cards_each` GPUs (or one CPU), and the copies of it that serve all demands of whose
    models it has any; `names` are theirs. `measured_on` is None where it was only placed. `why_not` says
    whose bound it doesn't keep, and then there are no copies."""

    source: str
    names: tuple[str, ...]
    cards_each: int
    copies: int
    measured_on: str | None
    why_not: str = ""


def copies_of(folder: Path, demands: Sequence[Demand]) -> Copies:
    """Of the folder's placement, at the rates that were measured there, else at those it was made for.

    Each copy serves its models at once, so the demand that takes the most copies decides. Raises UsageError
    where it is no such folder or has none of the models, ExperimentError where it is damaged.
    """
    found = _read(folder / "placement.json", _Placement)
    if found is None:
        raise UsageError(f"{folder} has no placement.json: write one with `python -m mps.place`")
    proof = _read(folder / "measured.json", _Proof)
    outcomes = {each.workload: each for each in proof.measured} if proof else {}
    placed = {each.model: each for each in found.demand}
    asked = [demand for demand in demands if demand.model in placed]
    if not asked:
        raise UsageError(f"{folder} places {', '.join(sorted(placed))}, which nobody asks for: leave it out")
    short = [why for demand in asked if (why := _short(demand, placed[demand.model], outcomes))]
    copies = max(
        needed(demand.peak_rps, _rate_rps(placed[demand.model], outcomes), demand.headroom, demand.spare)
        for demand in asked
    )
    return Copies(
        source=str(folder),
        names=tuple(demand.name for demand in asked),
        cards_each=len(found.gpus),
        copies=0 if short else copies,
        measured_on=proof.measured_on if proof else None,
        why_not="; ".join(short),
    )


def _rate_rps(placed: _Asked, outcomes: Mapping[str, _Outcome]) -> float:
    return outcomes[placed.name].throughput_rps if placed.name in outcomes else placed.rate_rps


def _short(demand: Demand, placed: _Asked, outcomes: Mapping[str, _Outcome]) -> str:
    """What is said of another bound is nothing, unless it is a tighter one."""
    if placed.slo_ms > demand.slo.bound_ms:
        return f"{demand.name}: placed for {placed.slo_ms:g} ms, asked for {demand.slo}"
    outcome = outcomes.get(placed.name)
    if outcome and outcome.attainment < demand.slo.percentile / 100:
        return f"{demand.name}: {100 * outcome.attainment:.4g} % were within {placed.slo_ms:g} ms"
    return ""


T = TypeVar("T")


def _read(path: Path, kind: type[T]) -> T | None:
    """The record in a JSON file; None where there is no file."""
    try:
        return record_from(kind, strictly_parsed(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path} can't be read: {error}: place it again") from error
