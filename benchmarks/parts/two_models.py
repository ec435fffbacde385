"""Two models at once under one server, each at a rate of its own: the highest rates that keep a bound.

The rates grow together: so many requests of the small model for one of the large one. A worker each; where
all models share the workers, there are as many of these. The search is the product's: experiments/together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.parts.interleaved import Effort, Tell
from experiments.plan import Slo
from experiments.servers.served import Server
from experiments.together import Folder, Served, Together, carry_out
from experiments.together.campaign import searches_of

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
) -> Mapping[str, float]:
    """For each server, the highest rate of the large model in requests/s, with SMALL_FOR_A_LARGE times as
    many of the small one, at which BOUND is kept by each of them. 0 where it is at none."""
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
    found = {}
    for name, search in searches_of(plan, taken, looks).items():
        assert search.decision is not None
        found[name] = search.decision.factor * BEGIN_RPS
    return found


def plan_of(names: Sequence[str], archives: Sequence[Path], look_s: float) -> Together:
    """A small and a large model at the rates at which the search begins."""
    rates_rps = (SMALL_FOR_A_LARGE * BEGIN_RPS, BEGIN_RPS)
    models = tuple(
        Served(name, str(archive), rate_rps, BOUND, batch_delay_ms=DELAY_MS, tokens=tokens)
        for name, archive, rate_rps, tokens in zip(NAMES, archives, rates_rps, TOKENS, strict=True)
    )
    return Together(tuple(names), models, runs=0, duration_s=look_s, warm_up_s=1.0, settling_s=SETTLING_S)
