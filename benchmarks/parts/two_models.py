"""Two models at once under one server, each at a rate of its own: the highest rates that keep a bound.

The rates grow together: so many requests of the small model for one of the large one. A worker each; where
all models share the workers, there are as many of these. The search is the product's: experiments/together.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.parts.interleaved import Effort, Tell
from experiments.plan import Slo
from experiments.servers.served import Server
from experiments.together import Folder, Served, Together, carry_out
from experiments.together.campaign import searches_of
from experiments.together.search import Decision

NAMES = ("small", "large")
TOKENS = (15, 60)
SMALL_FOR_A_LARGE = 16  # about the ratio of what the two cost
BOUND = Slo(99, 500.0)
DELAY_MS = 1  # TorchServe waits it out after each batch that isn't full, though requests have waited before
BEGIN_RPS = 4.0  # of the large model: where the search begins
SETTLING_S = 5.0
LOOK_S = 3  # times as long as a turn is a look, since a p99 takes requests
LOOKS = 2  # at most, for each of the rounds


def goodputs(
    rivals: Sequence[Server], archives: Sequence[Path], effort: Effort, tell: Tell
) -> Mapping[str, Decision]:
    """For each server, by which factor of BEGIN_RPS of the large model, and SMALL_FOR_A_LARGE times as many
    requests of the small one, BOUND is kept by each of them."""
    plan = plan_of([rival.name for rival in rivals], archives, LOOK_S * effort.duration_s)
    looks = LOOKS * effort.rounds
    with tempfile.TemporaryDirectory() as folder:
        taken = carry_out(
            plan,
            Folder(Path(folder)),
            lambda line: tell(f"two models: {line}"),
            goodput=True,
            looks=looks,
        )
    searches = searches_of(plan, taken, looks).items()
    return {name: decision for name, search in searches if (decision := search.decision)}


Interval = tuple[float, float | None]
"""None: nothing tells how high it ends."""


def over_best(found: Mapping[str, Decision], ours: str) -> tuple[float | None, Interval | None]:
    """Ours over the best of the others, and its interval of 95 %; None where one of the two keeps the bound
    at no rate that was tried.

    From the intervals of both: on either side the squares of the logarithms add up (Zou and Donner 2008, as
    MOVER). Which of the others is best isn't known either: its ends are the highest of theirs.
    """
    own, others = found[ours], [each for name, each in found.items() if name != ours]
    factor, least = max(each.factor for each in others), max(each.least for each in others)
    most = max(math.inf if each.most is None else each.most for each in others)
    if not factor:
        return None, None
    ratio = own.factor / factor
    if not ratio:
        return ratio, None
    down = math.hypot(_apart(own.least, own.factor), _apart(factor, most))
    up = math.hypot(_apart(own.factor, own.most), _apart(least, factor))
    return ratio, (ratio * math.exp(-down), None if math.isinf(up) else ratio * math.exp(up))


def _apart(low: float, high: float | None) -> float:
    """As a logarithm; infinite where one of them is not known."""
    return math.log(high / low) if low and high is not None else math.inf


def plan_of(names: Sequence[str], archives: Sequence[Path], look_s: float) -> Together:
    """A small and a large model at the rates at which the search begins."""
    rates_rps = (SMALL_FOR_A_LARGE * BEGIN_RPS, BEGIN_RPS)
    models = tuple(
        Served(name, str(archive), rate_rps, BOUND, batch_delay_ms=DELAY_MS, tokens=tokens)
        for name, archive, rate_rps, tokens in zip(NAMES, archives, rates_rps, TOKENS, strict=True)
    )
    return Together(tuple(names), models, runs=0, duration_s=look_s, warm_up_s=1.0, settling_s=SETTLING_S)
