"""Two models at once under one server, each at a rate of its own: the highest rates that keep a bound.

The rates grow together: so many requests of the small model for one of the large one. A worker each; where
all models share the workers, there are as many of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.parts.interleaved import Effort, Tell, take_turns
from benchmarks.parts.rivals import at_work, bodies, side_by_side
from experiments.bench.inputs import texts_of_tokens
from experiments.load import OpenLoop, Sending, run_together
from experiments.servers.served import Running, Server
from experiments.serving.torchserve import Registration

NAMES = ("small", "large")
TOKENS = (15, 60)
SMALL_FOR_A_LARGE = 16  # about the ratio of what the two cost
BOUND_MS = 500.0
PERCENTILE = 99
BATCH_SIZE = 8
DELAY_MS = 10
LOWEST_RPS, HIGHEST_RPS = 0.5, 32.0  # of the large model
STEPS = 6  # of the bisection: within 7 % after them
TAKES = 2  # of a look that fails: what else the machine does can only make it fail
LOOK_S = 3  # times as long as a turn is a look, since a p99 takes requests


def goodputs(
    rivals: Sequence[Server], archives: Sequence[Path], effort: Effort, tell: Tell
) -> Mapping[str, float]:
    """For each server, the highest rate of the large model in requests/s, with SMALL_FOR_A_LARGE times as
    many of the small one, at which PERCENTILE percent of each model's requests take BOUND_MS at most. 0
    where none does."""
    texts = {
        name: texts_of_tokens(archive, tokens)
        for name, archive, tokens in zip(NAMES, archives, TOKENS, strict=True)
    }
    registrations = [
        Registration(archive, 1, BATCH_SIZE, DELAY_MS, name)
        for name, archive in zip(NAMES, archives, strict=True)
    ]
    tell(f"two models at once: starting {', '.join(rival.name for rival in rivals)}")
    with side_by_side(rivals, registrations, threads=1) as running:
        searches = {name: _Search() for name in running}

        def look(name: str) -> None:
            rate_rps = searches[name].next_rps
            with at_work(running[name]):
                holds = any(
                    keeps_bound(running[name], texts, rate_rps, LOOK_S * effort.duration_s)
                    for _ in range(TAKES)
                )
            searches[name].note(holds)
            tell(f"two models under {name}: {rate_rps:.2f} requests/s {'hold' if holds else 'fail'}")

        take_turns({name: partial(look, name) for name in running}, STEPS)
        return {name: search.holds_rps for name, search in searches.items()}


def keeps_bound(
    server: Running, texts: Mapping[str, Sequence[str]], rate_rps: float, duration_s: float
) -> bool:
    """Whether both models keep the bound at these rates, with no request failed or unanswered."""
    rates_rps = {"small": SMALL_FOR_A_LARGE * rate_rps, "large": rate_rps}
    sendings = [
        Sending(
            server.predict_url(name),
            bodies(server, texts[name]),
            OpenLoop(rates_rps[name], duration_s, warm_up_s=1.0),
            server.headers,
            seed,
        )
        for seed, name in enumerate(NAMES)
    ]
    results = run_together(sendings)
    return all(not found.problems() and found.latency_ms(PERCENTILE) <= BOUND_MS for found in results)


class _Search:
    """A bisection on a scale of factors."""

    def __init__(self) -> None:
        self.holds_rps = 0.0
        self._least_rps, self._most_rps = LOWEST_RPS, HIGHEST_RPS

    @property
    def next_rps(self) -> float:
        return float((self._least_rps * self._most_rps) ** 0.5)

    def note(self, holds: bool) -> None:
        """What the next rate came to."""
        if holds:
            self._least_rps = self.holds_rps = self.next_rps
        else:
            self._most_rps = self.next_rps
