"""A look: all models of a plan at once under one server, each at its rate, and what each of them saw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from experiments.load import LoadResult, OpenLoop, Sending, run_together
from experiments.load.goodput.evidence import Evidence, evidence
from experiments.load.goodput.looks import in_order
from experiments.load.goodput.others import Others
from experiments.load.result import MOST_BUSY
from experiments.plan import Slo
from experiments.servers.served import Running, cpu_s
from experiments.together.asked import Asked
from experiments.together.plan import Together
from experiments.together.search import Tried

MOST_LATE_IN_BOUNDS = 0.1
"""The generator's own lateness is part of a latency: up to this share of the bound it may be."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the requests to one model saw. Latencies count from when a request was due; None: no answer.

    `within` is the share of the requests that were due and answered right within the bound, `failures` those
    that were refused, lost, never sent or answered wrongly, warm-up included. `problem`: why it is no result.
    `due`: the requests that `within` is a share of; `inflation`: see Evidence.
    """

    rate_rps: float
    throughput_rps: float
    p50_ms: float | None
    p99_ms: float | None
    bounded_ms: float | None
    within: float
    requests: int
    failures: int
    problem: str | None
    due: int
    inflation: float

    def keeps(self, slo: Slo) -> bool:
        """Whether the bound was kept, by an undisturbed generator and with no request failed."""
        return self.tells and self.within >= slo.percentile / 100

    @property
    def tells(self) -> bool:
        """Whether the latencies say something of the server: all was sent on time, and nothing failed."""
        return self.problem is None and self.failures == 0

    @property
    def evidence(self) -> Evidence:
        """Of how many requests how many were late."""
        return Evidence(self.due, round((1 - self.within) * self.due), self.inflation)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one server: `number` counts its looks of this `purpose`, "run" or "search".

    The rates were the plan's times `factor`. `cpu_cores` is the CPU time of all the server's processes in a
    second, `cpu_ms` that for a request, of whichever model. `disturbed` tells what other programs did
    meanwhile, None where that was little.
    """

    server: str
    purpose: str
    number: int
    factor: float
    models: Mapping[str, Seen]
    cpu_cores: float
    cpu_ms: float | None
    disturbed: str | None = None

    def holds(self, plan: Together) -> bool:
        """Whether every model kept its bound."""
        return all(self.models[model.name].keeps(model.slo) for model in plan.models)

    def tried(self, plan: Together) -> Tried:
        """What the search makes of it."""
        told = all(seen.tells for seen in self.models.values())
        found = {name: seen.evidence for name, seen in self.models.items()}
        return Tried(self.factor, found if told else None, self.holds(plan))

    def told(self) -> dict[str, Any]:
        """As a line of JSON has it; `heard` is the inverse."""
        return asdict(self)


def heard(told: Mapping[str, Any]) -> Look:
    """The look of a line of JSON. Raises KeyError, TypeError or AttributeError for anything else.

    Lines of before had the `step` of a search by bisection, told only the requests that were answered, and
    nothing of other programs.
    """
    models = {
        name: Seen(**{"due": seen["requests"], "inflation": 1.0, **seen})
        for name, seen in told["models"].items()
    }
    kept = {key: value for key, value in told.items() if key != "step"}
    return Look(**{**kept, "models": models})


def look(
    server: Running,
    plan: Together,
    models: Sequence[Asked],
    *,
    factor: float = 1.0,
    purpose: str = "run",
    number: int = 0,
) -> Look:
    """Puts the plan's rates, times `factor`, on a server that is at work. Arrivals are Poisson's, the same
    for every server at the same `number`."""
    sendings = [
        Sending(
            server.predict_url(one.model.name),
            one.bodies(server),
            OpenLoop(one.model.rate_rps * factor, plan.duration_s, warm_up_s=plan.warm_up_s),
            server.headers,
            plan.seed + 1000 * number + position,
        )
        for position, one in enumerate(models)
    ]
    family = server.family()
    begin_cpu_s, begin_s = cpu_s(family), perf_counter()
    others = Others(server.family)
    with others.counted():
        results = run_together(sendings, keep_answers=True)
    used_s, took_s = cpu_s(family) - begin_cpu_s, perf_counter() - begin_s
    answers = sum(sum(found.statuses.values()) for found in results)
    seen = {
        one.model.name: _seen(server, one, one.model.rate_rps * factor, found)
        for one, found in zip(models, results, strict=True)
    }
    cpu_ms = 1e3 * used_s / answers if answers else None
    return Look(server.server, purpose, number, factor, seen, used_s / took_s, cpu_ms, others.told())


def _seen(server: Running, one: Asked, rate_rps: float, found: LoadResult) -> Seen:
    slo, pacing = one.model.slo, found.pacing
    assert pacing is not None
    refused = sum(count for status, count in found.statuses.items() if not 200 <= status < 300)
    unsent = pacing.scheduled - pacing.sent
    good = (found.latency_s <= slo.bound_s) & (found.status >= 200) & (found.status < 300)

    def at(percentile: float) -> float | None:
        return found.latency_ms(percentile) if found.requests else None

    return Seen(
        rate_rps=rate_rps,
        throughput_rps=found.throughput_rps,
        p50_ms=at(50),
        p99_ms=at(99),
        bounded_ms=at(slo.percentile),
        within=float(np.sum(good)) / pacing.scheduled if pacing.scheduled else 0.0,
        requests=found.requests,
        failures=refused + found.lost_connections + unsent + one.wrong(server, found),
        problem=_problem(found, slo),
        due=pacing.scheduled,
        inflation=evidence(slo, in_order(found)).inflation,
    )


def _problem(found: LoadResult, slo: Slo) -> str | None:
    """Why the latencies may be the generator's own, or say nothing."""
    assert found.pacing is not None
    if not found.pacing.scheduled:
        return "no request was due: measure longer"
    late_ms = found.pacing.lateness_ms(slo.percentile)
    if found.pacing.busy > MOST_BUSY or late_ms > MOST_LATE_IN_BOUNDS * slo.bound_ms:
        return f"the generator was {late_ms:.2g} ms late and busy for {found.pacing.busy:.0%} of the time"
    return None
