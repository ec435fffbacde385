"""How much longer batches take beside others: two or three models on the parts of a device, all at work.

They are looked at alone, then together, in turns: what neighbours cost is the ratio of looks that lie next to
each other in time.
"""

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations_with_replacement, product
from pathlib import Path

from experiments.base.cores import usable_cores
from experiments.base.errors import UsageError
from experiments.ceilings.bare import BareModel, Seat, seated_models
from experiments.profile.measure import Asked
from experiments.profile.neighbours import MOST, Batch, Beside, Pair
from experiments.profile.undisturbed import undisturbed
from experiments.serving.arms import MpsOptions, arm
from experiments.serving.workers import ENGINE_VARIABLE, share_env
from experiments.watch.environment import cpu_model
from mps.card import Gpu

Tell = Callable[[str], None]
Sides = tuple[tuple[Path, int], ...]
"""Archives, and the share of each."""


def profile_side_by_side(
    archives: Sequence[Path],
    asked: Asked,
    together: int,
    card: Gpu | None,
    mps: MpsOptions,
    tell: Tell,
    warn: Tell,
) -> list[Beside]:
    """Each `together` of the models, also several of one kind, on all of the shares that fill the device,
    with all batch sizes of each.

    Raises UsageError where no shares add up to 100 %, the cores are too few or there are several engines, and
    what `profile` raises.
    """
    if len(asked.engines) > 1:
        raise UsageError("neighbours are measured on one engine: give one --engine beside --pairs")
    if not 2 <= together <= MOST:
        raise UsageError(f"{together} side by side can't be measured: use 2 or {MOST}")
    groups = list(groups_of(archives, asked.shares, together))
    if not groups:
        raise UsageError(
            f"no {together} of the shares fill the device: give some that add up to 100, such as "
            f"{'40,60' if together == 2 else '20,40'}"
        )
    device = card.name if card else cpu_model() or "CPU"
    with ExitStack() as stack:
        current = stack.enter_context(arm(card is not None, card, mps, warn))
        found: list[Beside] = []
        for number, sides in enumerate(groups, 1):
            names = " beside ".join(f"{archive.stem} on {share} %" for archive, share in sides)
            tell(f"{number} of {len(groups)}: {names}")
            found += _measured(sides, asked, card, current.env, device, warn)
        return found


def groups_of(archives: Sequence[Path], shares: Sequence[int], together: int) -> Iterator[Sides]:
    """All groups of so many whose shares add up to 100; those that differ in the order alone once."""
    seen = set()
    for group in combinations_with_replacement(archives, together):
        for split in product(shares, repeat=together):
            sides = tuple(zip(group, split, strict=True))
            alike = tuple(sorted(sides))
            if sum(split) == 100 and alike not in seen:
                seen.add(alike)
                yield sides


def _measured(
    sides: Sides, asked: Asked, card: Gpu | None, env: Mapping[str, str], device: str, warn: Tell
) -> list[Beside]:
    """One group, all batch sizes."""
    with ExitStack() as stack:
        models = []
        seats = _seats([share for _, share in sides], card, env)
        for (archive, _), seat in zip(sides, seats, strict=True):
            (engine,) = asked.engines_for(archive, card, warn)
            (model,) = stack.enter_context(
                seated_models(
                    archive,
                    [replace(seat, env={**seat.env, ENGINE_VARIABLE: engine})],
                    threads=1 if card else usable_cores(),
                    tokens=asked.tokens_for(archive),
                    precision=asked.precision,
                    seed=asked.seed,
                    gpu_id=0 if card else None,
                )
            )
            model.load(max(asked.batch_sizes))
            models.append(model)
        for model in models:
            model.loaded()
        found = {}
        for sizes in product(asked.batch_sizes, repeat=len(sides)):
            batches = [
                Batch(archive.stem, share, size) for (archive, share), size in zip(sides, sizes, strict=True)
            ]
            alike = tuple(sorted(map(repr, batches)))
            if alike not in found:
                found[alike] = _beside(batches, models, asked, device, warn)
        return [one for each in found.values() for one in each]


def _seats(shares: Sequence[int], card: Gpu | None, env: Mapping[str, str]) -> list[Seat]:
    """Seats beside each other; on a CPU each has cores of its own, one at least."""
    if card:
        return [Seat({**env, **share_env(share)}) for share in shares]
    cores = sorted(os.sched_getaffinity(0))
    seats, taken, asked = [], 0, 0
    for share in shares:
        asked += share
        end = max(taken + 1, round(asked / 100 * len(cores)))
        seats.append(Seat({**env, "OMP_NUM_THREADS": str(end - taken)}, cores[taken:end]))
        taken = end
    if taken > len(cores):
        raise UsageError(
            f"shares of {', '.join(map(str, shares))} % of {len(cores)} cores leave none to the last: "
            "take others"
        )
    return seats


def _beside(
    batches: Sequence[Batch], models: Sequence[BareModel], asked: Asked, device: str, warn: Tell
) -> list[Beside]:
    rounds = [undisturbed(lambda: _round(batches, models, asked), models, warn) for _ in range(asked.rounds)]
    found = []
    for number, of_one in enumerate(zip(*rounds, strict=True)):
        latency_ms, times = (statistics.median(each) for each in zip(*of_one, strict=True))
        others = (*batches[:number], *batches[number + 1 :])
        found.append(Beside(device, Pair(batches[number], others, times), latency_ms))
    return found


def _round(batches: Sequence[Batch], models: Sequence[BareModel], asked: Asked) -> list[tuple[float, float]]:
    """Of each its median latency beside the others in ms, and how many times as long as alone that is."""
    alone = [
        model.latencies_ms(each.batch, asked.look_s, asked.fewest)
        for model, each in zip(models, batches, strict=True)
    ]
    # So long that the slowest is looked at often enough, and the others are at work meanwhile.
    look_s = max(asked.look_s, (asked.fewest + 1) * max(map(statistics.median, alone)) / 1000)
    for model, each in zip(models, batches, strict=True):
        model.begin_latencies(each.batch, look_s, 2)  # the last one doesn't count
    found = []
    for own_ms, model in zip(alone, models, strict=True):
        beside_ms = model.heard_ms()[:-1]  # while the last one lasted another may have ended
        # The first batch of each look is the same, the second too, and so on: like is held against like.
        times = statistics.median(b / a for a, b in zip(own_ms, beside_ms, strict=False))
        found.append((statistics.median(beside_ms), times))
    return found
