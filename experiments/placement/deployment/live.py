"""A placement proven: TorchServe serves it, every model gets its rate, beside the outcome the forecast.

On a GPU workers join a control daemon of ours with their shares; on a CPU shares are cores.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.base.errors import ExperimentError, UsageError
from experiments.bench import pool_for
from experiments.bench.archive import provenance_of
from experiments.bench.inputs import TEXT_KINDS
from experiments.bench.model_store import furnish
from experiments.load import Body, ClosedLoop, LoadResult, OpenLoop, Sending, run_together
from experiments.placement.deployment.batches import Beside, ServedBatches
from experiments.placement.deployment.seats import BATCH_DELAY_MS, Seat
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem
from experiments.placement.simulation import Outcome, outcome, simulate_seats
from experiments.placement.simulation.arrivals import Times
from experiments.serving.arms import Arm, MpsOptions, arm, released
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from experiments.serving.workers import ENGINE_VARIABLE, PRECISION_VARIABLE
from mps.card import Gpu

Tell = Callable[[str], None]
VARIABLES = {"engine": ENGINE_VARIABLE, "precision": PRECISION_VARIABLE}

BATCHES_S, BATCHES_WARM_UP_S = 5.0, 2.0
"""How long batches of one size are sent to know what they take under TorchServe."""

MOST_LATE = 0.05
"""The generator's lateness (p99), as a part of the median latency, above which a load is no result."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How long is measured, after how much of the same that doesn't count, in seconds; `tokens` of each text,
    None for texts of several lengths."""

    seconds: float = 60.0
    warm_up_s: float = 10.0
    arrivals: str = "poisson"
    tokens: int | None = None
    seed: int = 0

    def load(self, rate_rps: float) -> OpenLoop:
        """The load at a rate."""
        return OpenLoop(rate_rps, self.seconds, self.arrivals, self.warm_up_s)


@dataclass(frozen=True, slots=True)
class Proven:
    """What was predicted and what was measured, by workload, and what batches of each seat take under
    TorchServe, measured before the load. `problems` say why it is no result."""

    predicted: list[Outcome]
    measured: list[Outcome]
    batches: list[ServedBatches]
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

    Raises UsageError for a placement on several GPUs, and what the arm, TorchServe's start and a model's load
    raise.
    """
    if len(live.placement.gpus) > 1:
        raise UsageError(f"--run drives one GPU, the placement has {len(live.placement.gpus)}: ask for less")
    pools = {
        model: pool_for(kind, None, asked.tokens if kind in TEXT_KINDS else None, archive)
        for model, archive in live.archives.items()
        if (kind := provenance_of(archive).kind)
    }
    with ExitStack() as stack:
        current = stack.enter_context(arm(live.card is not None, live.card, mps, warn))
        settings = {"number_of_gpu": "0" if live.card is None else "1"}
        server = stack.enter_context(torchserve(env={**current.env, **_unsaid(live)}, settings=settings))
        stack.enter_context(released(current, server.process.pid))
        _register(live, server, current, tell)
        tell("what batches take beyond the profile")
        batches = _batches(live, server, pools)
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
        for problem in _problems(result)
    ]
    return Proven(_predicted(live, batches, asked), _measured(live, results), batches, wrong)


def _unsaid(live: Live) -> dict[str, str]:
    """An engine or a precision in our own environment would win over those of the seats, where they have
    theirs."""
    told = {key for seat in live.seats for key in seat.served}
    return {VARIABLES[key]: "" for key in sorted(told)}


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


def _served_ms(
    live: Live, server: TorchServe, pools: Mapping[str, Sequence[Body]], seats: Sequence[Seat], most: bool
) -> list[float]:
    """What a batch of one, or the largest, takes of each of the seats under TorchServe, all of them at work
    at once, each worker with its next batch waiting."""
    sizes = [seat.batch if most else 1 for seat in seats]
    sendings = [
        Sending(
            server.predict_url_of(seat.name),
            pools[live.model(seat)],
            ClosedLoop(2 * size, duration_s=BATCHES_S, warm_up_s=BATCHES_WARM_UP_S),
            server.headers,
        )
        for seat, size in zip(seats, sizes, strict=True)
    ]
    results = run_together(sendings)
    for seat, result in zip(seats, results, strict=True):
        if problems := result.problems():
            raise ExperimentError(f"{seat.name}: {problems[0]}")
    return [1000 * size / result.throughput_rps for size, result in zip(sizes, results, strict=True)]


def _batches(live: Live, server: TorchServe, pools: Mapping[str, Sequence[Body]]) -> list[ServedBatches]:
    """What batches of each seat take under TorchServe, alone and beside all the others."""
    alone = [
        [_served_ms(live, server, pools, [seat], most)[0] for seat in live.seats] for most in (False, True)
    ]
    beside = [_served_ms(live, server, pools, live.seats, most) for most in (False, True)]
    return [
        ServedBatches(live.model(seat), seat.batch, *measured)
        for seat, *measured in zip(live.seats, *alone, *beside, strict=True)
    ]


def _problems(result: LoadResult) -> list[str]:
    """Why a load is no result. Where workers have all cores requests leave a few ms late, which their latency
    has in it: what counts is how much that is of it."""
    pacing = result.pacing
    assert pacing is not None
    found = [problem for problem in result.problems() if problem != pacing.generator_problem]
    if result.requests and pacing.lateness_ms(99) > MOST_LATE * result.latency_ms(50):
        found.append(
            f"the generator was {pacing.lateness_ms(99):.1f} ms late with the latest 1 % of the requests, "
            f"more than {MOST_LATE:.0%} of the median latency: leave it a core, or ask for lower rates"
        )
    return found


def _predicted(live: Live, batches: Sequence[ServedBatches], asked: Asked) -> list[Outcome]:
    """What the simulator makes of the very arrivals that were sent."""
    rules = replace(
        live.problem.rules,
        host_ms={
            each.model: each.host_ms(live.problem.latency_ms(seat.workload, seat.size))
            for seat, each in zip(live.seats, batches, strict=True)
        },
        interference=Beside({each.model: each for each in batches}, len(live.seats)),
    )
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
