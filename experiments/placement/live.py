"""A placement proven: TorchServe serves it, every model gets its rate, beside the outcome the forecast.

On a GPU workers join a control daemon of ours with their shares; on a CPU shares are cores.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from experiments.base.errors import ExperimentError
from experiments.bench import pool_for
from experiments.bench.archive import provenance_of
from experiments.bench.model_store import furnish
from experiments.load import Body, ClosedLoop, LoadResult, OpenLoop, Sending, run, run_together
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.seats import BATCH_DELAY_MS, Seat
from experiments.placement.simulation import Outcome, outcome, simulate_seats
from experiments.placement.simulation.arrivals import Times
from experiments.serving.arms import Arm, MpsOptions, arm, released
from experiments.serving.torchserve import Registration, TorchServe, torchserve
from mps.card import Gpu

Tell = Callable[[str], None]

ALONE_S, ALONE_WARM_UP_S = 3.0, 2.0
"""How long one request after the other is sent, to know what it costs besides its batch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How long is measured, after how much of the same that doesn't count, in seconds."""

    seconds: float = 60.0
    warm_up_s: float = 10.0
    arrivals: str = "poisson"
    seed: int = 0

    def load(self, rate_rps: float) -> OpenLoop:
        """The load at a rate."""
        return OpenLoop(rate_rps, self.seconds, self.arrivals, self.warm_up_s)


@dataclass(frozen=True, slots=True)
class Proven:
    """What was predicted and what was measured, by workload, and `host_ms`: what a request costs besides its
    batch, by seat, measured one request at a time before the load. `problems` say why it is no result."""

    predicted: list[Outcome]
    measured: list[Outcome]
    host_ms: list[float]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Live:
    """What is served: the placement of a problem, its seats, the archive of each model, the GPU or None."""

    problem: Problem
    placement: Placement
    seats: Sequence[Seat]
    archives: Mapping[str, Path]
    card: Gpu | None

    def model(self, seat: Seat) -> str:
        """The model of a seat, as the profile and the archives name it."""
        return self.problem.workloads[seat.workload].model

    def rate_rps(self, seat: Seat) -> float:
        """Its part of its workload's requests."""
        return self.problem.workloads[seat.workload].rate_rps * seat.weight


def prove(live: Live, asked: Asked, mps: MpsOptions, tell: Tell, warn: Tell) -> Proven:
    """Serves the placement, drives every workload at its rate in open loop, and predicts the same arrivals.

    Raises what the arm, TorchServe's start and a model's load raise.
    """
    pools = {
        model: pool_for(provenance_of(archive).kind, None, archive=archive)
        for model, archive in live.archives.items()
    }
    with ExitStack() as stack:
        current = stack.enter_context(arm(live.card is not None, live.card, mps, warn))
        settings = {"number_of_gpu": "0" if live.card is None else "1"}
        server = stack.enter_context(torchserve(env=current.env, settings=settings))
        stack.enter_context(released(current, server.process.pid))
        _register(live, server, current, tell)
        tell("what a request costs besides its batch")
        host_ms = [_host_ms(live, server, seat, pools[live.model(seat)]) for seat in live.seats]
        tell(f"{asked.warm_up_s + asked.seconds:g} s of load")
        results = run_together(
            [
                Sending(
                    server.predict_url_of(seat.name),
                    pools[live.model(seat)],
                    asked.load(live.rate_rps(seat)),
                    server.headers,
                    asked.seed + number,
                )
                for number, seat in enumerate(live.seats)
            ]
        )
        current.check()
    wrong = [
        f"{seat.name}: {problem}"
        for seat, result in zip(live.seats, results, strict=True)
        for problem in result.problems()
    ]
    return Proven(_predicted(live, host_ms, asked), _measured(live, results), host_ms, wrong)


def _register(live: Live, server: TorchServe, current: Arm, tell: Tell) -> None:
    turns = server.folder / "turns"
    turns.mkdir()
    pids = []
    for number, seat in enumerate(live.seats, 1):
        tell(f"loading {seat.name}, {number} of {len(live.seats)}")
        archive = live.archives[live.model(seat)]
        folder = furnish(archive, server.store, seat.name, seat.handler_settings(str(turns)))
        registration = Registration(folder, 1, seat.batch, BATCH_DELAY_MS, seat.name)
        pids += [worker.pid for worker in server.register(registration)]
    if problems := current.problems(pids):
        raise ExperimentError(f"not every worker is a client of the MPS daemon: {problems[0]}")


def _host_ms(live: Live, server: TorchServe, seat: Seat, pool: Sequence[Body]) -> float:
    """The median latency of one request after the other, without what the profile says of a batch of 1."""
    load = ClosedLoop(1, duration_s=ALONE_S, warm_up_s=ALONE_WARM_UP_S)
    result = run(server.predict_url_of(seat.name), pool, load, headers=server.headers)
    if problems := result.problems():
        raise ExperimentError(f"{seat.name} alone: {problems[0]}")
    return max(0.0, result.latency_ms(50) - float(live.problem.latency_ms(seat.workload, seat.size)[1]))


def _predicted(live: Live, host_ms: Sequence[float], asked: Asked) -> list[Outcome]:
    """What the simulator makes of the very arrivals that were sent."""
    hosts: dict[str, list[float]] = {}
    for seat, host in zip(live.seats, host_ms, strict=True):
        hosts.setdefault(live.model(seat), []).append(host)
    rules = replace(live.problem.rules, host_ms={model: [median(all_ms)] for model, all_ms in hosts.items()})
    # Whether the bounds can be kept is what is asked here, not what is to be refused.
    unbound = tuple(replace(workload, slo_ms=1e9) for workload in live.problem.workloads)
    problem = replace(live.problem, workloads=unbound, rules=rules)
    arrivals = [asked.load(live.rate_rps(seat)).schedule(asked.seed + n) for n, seat in enumerate(live.seats)]
    answered = simulate_seats(problem, live.placement, arrivals, BATCH_DELAY_MS)
    return _by_workload(
        live,
        [
            (due[due >= asked.warm_up_s], ends[due >= asked.warm_up_s])
            for due, ends in zip(arrivals, answered, strict=True)
        ],
    )


def _measured(live: Live, results: Sequence[LoadResult]) -> list[Outcome]:
    return _by_workload(live, [(result.end_s - result.latency_s, result.end_s) for result in results])


def _by_workload(live: Live, came: Sequence[tuple[Times, Times]]) -> list[Outcome]:
    """The outcome of each workload from when requests of each seat came and were answered."""
    found = []
    for index, workload in enumerate(live.problem.workloads):
        mine = [each for seat, each in zip(live.seats, came, strict=True) if seat.workload == index]
        found.append(outcome(workload, *(np.concatenate(times) for times in zip(*mine, strict=True))))
    return found
