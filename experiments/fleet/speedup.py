"""Throughput against the number of cards, or of cores of a CPU, and how well it keeps up with one.

As Virtex's benchmarks plot it: results folders of the same model that were measured on 1, 2, 4 ... of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.measured import card_of
from experiments.fleet.offers import Spread
from experiments.results import read
from experiments.verdict.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class Reached:
    """The best cell of a folder that was measured on so many `units`: its requests/s, median and range of the
    runs, and `efficiency`, which is 1 where each unit does as much as in the smallest folder."""

    units: float
    rps: Spread
    efficiency: Spread
    settings: str
    source: str


@dataclass(frozen=True, slots=True)
class Speedup:
    """What each number of units reached, ascending; `unit` says what they are."""

    model: str
    unit: str
    hardware: str
    reached: tuple[Reached, ...]


def read_scaling(texts: Sequence[str]) -> Speedup:
    """DIR of a CPU, whose cores are in its environment, or N=DIR for N cards.

    Raises UsageError where one is no results folder, doesn't tell its number, or they don't belong together.
    """
    return speedup([_read(text) for text in texts])


def speedup(folders: Sequence[tuple[float, Verdict]]) -> Speedup:
    """Of verdicts with the units that each was measured on.

    The efficiency of n units is their requests/s over n/m times those of the smallest number, m; its range is
    that of the slowest run over the other's fastest, and the other way round. Raises UsageError for fewer
    than two numbers, one that is there twice, or other models, hardware, inputs, engines or precisions,
    ExperimentError where a folder has no valid run.
    """
    folders = sorted(folders, key=lambda each: each[0])
    counts = [units for units, _ in folders]
    if len(set(counts)) < 2 or len(set(counts)) < len(counts):
        raise UsageError("scaling takes folders of two or more different numbers of cards, or of cores")
    kinds = {(verdict.model, card_of(verdict), _cpu(verdict)) for _, verdict in folders}
    if len(kinds) > 1:
        told = " and ".join(sorted({f"{model} on {card or cpu}" for model, card, cpu in kinds}))
        raise UsageError(f"scaling is of one model on one kind of hardware, not of {told}: leave one out")
    ((model, card, cpu),) = kinds
    if len({_asked(verdict) for _, verdict in folders}) > 1:
        raise UsageError(
            "scaling is of one input, engine and precision: measure the folders by the same plan"
        )
    best = [(units, *_best(verdict), verdict) for units, verdict in folders]
    base, own = best[0][0], best[0][1]
    reached = tuple(
        Reached(
            units,
            rps,
            Spread(
                *(
                    of / over * base / units
                    for of, over in ((rps.low, own.high), (rps.likely, own.likely), (rps.high, own.low))
                )
            )
            if units > base
            else Spread(1.0, 1.0, 1.0),
            settings,
            str(verdict.folder),
        )
        for units, rps, settings, verdict in best
    )
    return Speedup(model, "cards" if card else "cores", card or cpu, reached)


def _read(text: str) -> tuple[float, Verdict]:
    units, equals, folder = text.partition("=")
    verdict = judge(read(Path(folder if equals else text)))
    if equals:
        try:
            number = float(units)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise UsageError(f"{text!r}: {units!r} is no number of cards: write one like 2={folder}")
        return number, verdict
    cpu = verdict.environment.get("cpu")
    if verdict.card or not isinstance(cpu, dict) or not cpu.get("cores"):
        raise UsageError(f"{text} doesn't tell how many cards it was measured on: write 2={text} for two")
    return float(cpu["cores"]), verdict


def _best(verdict: Verdict) -> tuple[Spread, str]:
    if not verdict.grid:
        raise ExperimentError(f"{verdict.folder} has no valid run: measure it again")
    best = max(verdict.grid, key=lambda each: each.median_rps)
    return Spread(min(best.rps), best.median_rps, max(best.rps)), str(best.cell)


def _asked(verdict: Verdict) -> tuple[object, ...]:
    """What has to be alike for rates to be compared, whatever workers and batches do best."""
    plan = verdict.plan
    variants = frozenset((cell.engine, cell.precision, cell.client_batch) for cell in plan.cells())
    return plan.tokens, plan.input, plan.slo, variants


def _cpu(verdict: Verdict) -> str:
    cpu = verdict.environment.get("cpu")
    return str(cpu.get("model") or "CPU") if isinstance(cpu, dict) else "CPU"
