"""How much longer batches take beside others: two models on the two parts of a device, both at work.

Each pair is looked at alone, then together, in turns: what a neighbour costs is the ratio of looks that lie
side by side in time.
"""

import csv
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import combinations_with_replacement, product
from pathlib import Path

from experiments.base.cores import usable_cores
from experiments.base.errors import UsageError
from experiments.ceilings.bare import BareModel, Seat, seated_models
from experiments.profile.measure import Asked, core_seats
from experiments.serving.arms import MpsOptions, arm
from experiments.serving.workers import share_env
from mps.card import Gpu

Tell = Callable[[str], None]
Side = tuple[str, int, int]
"""A model, its batch size, its share."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A batch of model1 on `percent1` of the device while model2 works on the rest: median latencies in ms,
    and how many times longer each took than alone (median of the rounds' ratios)."""

    model1: str
    batch1: int
    percent1: int
    model2: str
    batch2: int
    percent2: int
    latency1_ms: float
    latency2_ms: float
    ratio1: float
    ratio2: float


def profile_pairs(
    archives: Sequence[Path], asked: Asked, card: Gpu | None, mps: MpsOptions, tell: Tell, warn: Tell
) -> list[Pair]:
    """Each two of the models, also of one kind, on every two of the shares that fill the device, with every
    two batch sizes.

    Raises UsageError where no two shares add up to 100 %, and what `profile` raises.
    """
    splits = [(share, 100 - share) for share in asked.shares if share < 100 and 100 - share in asked.shares]
    if not splits:
        raise UsageError("no two of the shares fill the device: give some that add up to 100, such as 40,60")
    with ExitStack() as stack:
        current = stack.enter_context(arm(card is not None, card, mps, warn))
        found: list[Pair] = []
        for first, second in combinations_with_replacement(archives, 2):
            for percent1, percent2 in splits:
                if first == second and percent1 > percent2:
                    continue
                tell(f"{first.stem} on {percent1} % beside {second.stem} on {percent2} %")
                found += _measured((first, percent1), (second, percent2), asked, card, current.env)
        return found


def _measured(
    one: tuple[Path, int], other: tuple[Path, int], asked: Asked, card: Gpu | None, env: Mapping[str, str]
) -> list[Pair]:
    """One split of one pair, all batch sizes."""
    with ExitStack() as stack:
        models = []
        for (archive, _), seat in zip((one, other), _seats(one[1], other[1], card, env), strict=True):
            (model,) = stack.enter_context(
                seated_models(
                    archive,
                    [seat],
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
        return [
            _pair((one[0].stem, batch1, one[1]), (other[0].stem, batch2, other[1]), models, asked)
            for batch1, batch2 in product(asked.batch_sizes, asked.batch_sizes)
        ]


def _seats(share1: int, share2: int, card: Gpu | None, env: Mapping[str, str]) -> list[Seat]:
    """Two seats beside each other: on a CPU the second has the cores that the first leaves."""
    if card:
        return [Seat({**env, **share_env(share)}) for share in (share1, share2)]
    (first,) = core_seats([share1]).values()
    (all_of_them,) = core_seats([100]).values()
    assert first.cores is not None and all_of_them.cores is not None  # noqa: PT018
    rest = [core for core in all_of_them.cores if core not in first.cores]
    if not rest:
        raise UsageError(f"shares of {share1} and {share2} % leave no core to the second: take others")
    return [Seat({**env, **first.env}, first.cores), Seat({**env, "OMP_NUM_THREADS": str(len(rest))}, rest)]


def _pair(one: Side, other: Side, models: Sequence[BareModel], asked: Asked) -> Pair:
    sizes = (one[1], other[1])
    together: list[list[float]] = [[], []]
    ratios: list[list[float]] = [[], []]
    for _ in range(asked.rounds):
        alone = [
            model.latencies_ms(size, asked.look_s, asked.fewest)
            for model, size in zip(models, sizes, strict=True)
        ]
        # So long that the slower of the two is looked at often enough, and the faster is at work meanwhile.
        look_s = max(asked.look_s, (asked.fewest + 1) * max(map(statistics.median, alone)) / 1000)
        for model, size in zip(models, sizes, strict=True):
            model.begin_latencies(size, look_s, 1)
        for number, model in enumerate(models):
            beside = model.heard_ms()[:-1]  # while the last one lasted the other may have ended
            together[number].append(statistics.median(beside))
            # The first batch of each look is the same, the second too, and so on: like is held against like.
            ratios[number].append(
                statistics.median(b / a for a, b in zip(alone[number], beside, strict=False))
            )
    return Pair(
        *one,
        *other,
        *(round(statistics.median(each), 4) for each in together),
        *(round(statistics.median(each), 4) for each in ratios),
    )


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """The pairs as CSV, a line each; columns as the fields of Pair."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(Pair)])
        rows.writeheader()
        rows.writerows(asdict(pair) for pair in pairs)
