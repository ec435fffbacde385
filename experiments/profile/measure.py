"""Measures a profile: the model loaded once on every share, and timed in turns, one process at a time.

Shares of a GPU are MPS's active thread percentages, of a CPU they are whole cores. All rounds go over all
batch sizes, engines and shares, so that a change of the machine falls on all points alike.
"""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from experiments.base.cores import usable_cores
from experiments.base.errors import ExperimentError, UsageError
from experiments.bench.archive import provenance_of
from experiments.bench.engines import engine_served, possible
from experiments.bench.inputs import TEXT_KINDS
from experiments.ceilings.bare import BareModel, BareModelError, Loaded, Seat, seated_models
from experiments.plan import Plan
from experiments.profile.points import Point
from experiments.profile.undisturbed import undisturbed
from experiments.serving.arms import MpsOptions, arm
from experiments.serving.workers import ENGINE_VARIABLE, share_env
from experiments.watch.environment import cpu_model
from mps.card import Gpu

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is profiled: shares (percent of the GPU or of the cores), batch sizes and engines, all with each
    other. An engine None is the archive's.

    Each point gets `rounds` looks of `look_s` seconds, with `fewest` executions at least in each.
    """

    shares: Sequence[int]
    batch_sizes: Sequence[int]
    precision: str | None = None
    tokens: int | None = None
    rounds: int = 5
    look_s: float = 0.2
    fewest: int = 5
    seed: int = 0
    engines: Sequence[str | None] = (None,)

    def engines_for(self, archive: Path, card: Gpu | None, warn: Tell) -> list[str]:
        """Those that an archive can be served on here; about the others it warns. Raises UsageError where
        there is none, or one is unknown or has no such precision."""
        plan = Plan(str(archive), engine=tuple(self.engines), precision=(self.precision,))
        left, lines = possible(plan, card)
        for line in lines:
            warn(f"{archive.stem} {line}")
        return list(dict.fromkeys(engine_served(archive, engine) for engine in left.engine))

    def tokens_for(self, archive: Path) -> int | None:
        """The length of the texts that an archive's model is fed; None of one that takes none."""
        return self.tokens if provenance_of(archive).kind in TEXT_KINDS else None

    def __post_init__(self) -> None:
        if wrong := [share for share in self.shares if not 1 <= share <= 100]:
            raise UsageError(f"a share of {wrong[0]} % can't be given: use 1 to 100")
        if wrong := [size for size in self.batch_sizes if size < 1]:
            raise UsageError(f"a batch of {wrong[0]} can't be formed: use 1 or more")
        if self.rounds < 1:
            raise UsageError(f"{self.rounds} rounds measure nothing: use 1 or more")


@dataclass(slots=True)
class _Profiled:
    """One model on one engine and share: its process, what it tells of itself, and the milliseconds by batch
    size, a list a round."""

    engine: str
    share: int
    cores: int | None
    model: BareModel
    loaded: Loaded
    rounds_ms: dict[int, list[list[float]]] = field(default_factory=dict)


def profile(
    archive: Path, asked: Asked, card: Gpu | None, mps: MpsOptions, tell: Tell, warn: Tell
) -> list[Point]:
    """The points of an archive's model, in the order of engines, shares and batch sizes.

    A share on which the model refuses to load is left out, with a warning. Raises UsageError for shares that
    come to the same cores and what `engines_for` does, ExperimentError where nothing can be measured.
    """
    shares = {share: Seat(share_env(share)) for share in asked.shares} if card else core_seats(asked.shares)
    engines = asked.engines_for(archive, card, warn)
    with arm(card is not None, card, mps, warn) as current:
        seats = {
            (engine, share): Seat({**current.env, **seat.env, ENGINE_VARIABLE: engine}, seat.cores)
            for engine in engines
            for share, seat in shares.items()
        }
        with seated_models(
            archive,
            list(seats.values()),
            threads=1 if card else usable_cores(),
            tokens=asked.tokens_for(archive),
            precision=asked.precision,
            seed=asked.seed,
            gpu_id=0 if card else None,
        ) as models:
            on = f" with {', '.join(engines)}" if any(asked.engines) else ""
            tell(f"{archive.stem}: loading it on {len(shares)} shares{on}")
            profiled = _loaded(dict(zip(seats, models, strict=True)), seats, asked, warn)
            _measure(profiled, asked, lambda line: tell(f"{archive.stem}: {line}"), warn)
    device = card.name if card else cpu_model() or "CPU"
    return [_point(one, asked, archive, device, size) for one in profiled for size in asked.batch_sizes]


def core_seats(shares: Sequence[int]) -> dict[int, Seat]:
    """Shares of a CPU as whole cores, rounded, one at least. Raises UsageError where two are the same."""
    cores = sorted(os.sched_getaffinity(0))
    counted = {share: max(1, round(share / 100 * len(cores))) for share in shares}
    for share, count in counted.items():
        same = [other for other in counted if other < share and counted[other] == count]
        if same:
            raise UsageError(
                f"shares of {same[0]} and {share} % come to the same {count} of {len(cores)} cores: take one"
            )
    return {share: Seat({"OMP_NUM_THREADS": str(count)}, cores[:count]) for share, count in counted.items()}


def _loaded(
    models: Mapping[tuple[str, int], BareModel],
    seats: Mapping[tuple[str, int], Seat],
    asked: Asked,
    warn: Tell,
) -> list[_Profiled]:
    there = []
    for model in models.values():
        model.load(max(asked.batch_sizes))
    for (engine, share), model in models.items():
        try:
            loaded = model.loaded()
        except BareModelError as error:
            warn(f"a share of {share} % is left out: {error}")
            continue
        cores = seats[engine, share].cores
        there.append(_Profiled(engine, share, None if cores is None else len(cores), model, loaded))
    if not there:
        raise ExperimentError("no share could be measured: see the warnings")
    return there


def _measure(profiled: Sequence[_Profiled], asked: Asked, tell: Tell, warn: Tell) -> None:
    order = Random(asked.seed)

    def a_round() -> list[tuple[_Profiled, int, list[float]]]:
        return [
            (one, size, one.model.latencies_ms(size, asked.look_s, asked.fewest))
            for size in asked.batch_sizes
            for one in order.sample(list(profiled), len(profiled))
        ]

    tell("warming up")
    a_round()
    for number in range(1, asked.rounds + 1):
        tell(f"round {number} of {asked.rounds}")
        for one, size, took_ms in undisturbed(a_round, [one.model for one in profiled], warn):
            one.rounds_ms.setdefault(size, []).append(took_ms)


def _point(one: _Profiled, asked: Asked, archive: Path, device: str, size: int) -> Point:
    rounds = one.rounds_ms[size]
    all_ms = np.concatenate(rounds)
    p50, p95, p99 = (float(np.percentile(all_ms, percentile)) for percentile in (50, 95, 99))
    medians = [statistics.median(each) for each in rounds]
    return Point(
        device=device,
        model=archive.stem,
        precision=asked.precision or "as archived",
        share_percent=one.share,
        multiprocessors=one.loaded.multiprocessors,
        cores=one.cores,
        batch_size=size,
        executions=len(all_ms),
        latency_ms_mean=float(all_ms.mean()),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        latency_ms_p50_least=min(medians),
        latency_ms_p50_most=max(medians),
        memory_bytes=one.loaded.memory_bytes,
        engine=one.engine,
    )
