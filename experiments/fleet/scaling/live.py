"""The same policies at work: the workers of one TorchServe, scaled through its management API under load.

TorchServe kills a worker that goes, whatever it is at; its batch is answered with an error, which is counted
as a bound that wasn't kept. CPU is that of the workers that serve, without TorchServe's frontend.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from time import monotonic

import numpy as np
import psutil
from numpy.typing import NDArray

from experiments.base.errors import ExperimentError
from experiments.fleet.scaling.curves import Curve
from experiments.fleet.scaling.decisions import Decider, Metrics, Seen
from experiments.fleet.scaling.instances import Life
from experiments.fleet.scaling.outcome import Outcome, outcome_of
from experiments.fleet.scaling.policies import Policy
from experiments.fleet.scaling.simulation import limits, start
from experiments.fleet.service import Service
from experiments.load import Body, LoadResult, OpenLoop, run
from experiments.serving.torchserve.running import TorchServe

REQUESTS = "ts_inference_requests_total"
PATIENCE = 10.0
"""Times the curve's length that an answer is waited for."""


@dataclass(frozen=True, slots=True)
class Replay(OpenLoop):
    """An open loop whose requests come when `due_s` says, in seconds from its begin."""

    due_s: tuple[float, ...] = ()

    def schedule(self, seed: int) -> NDArray[np.float64]:
        return np.array(self.due_s)


@dataclass(frozen=True, slots=True)
class Lived:
    """What came of a policy live: its outcome, answers that were no success, what was seen at each poll with
    the seconds since the start, how long workers took to be ready, and why it may be no result."""

    outcome: Outcome
    failures: int
    polls: tuple[tuple[float, Seen], ...]
    loading_s: tuple[float, ...]
    problems: tuple[str, ...]


def live(
    server: TorchServe, policy: Policy, service: Service, curve: Curve, pool: Sequence[Body], seed: int = 0
) -> Lived:
    """Puts a curve on the model that is registered, while its workers follow the policy.

    Begins with as many as the simulation does. Raises ExperimentError where the load ended early or the
    autoscaler did, ServerError where TorchServe fails.
    """
    decider = Decider(policy.control, *limits(policy, service))
    first = start(curve.rates_rps[0], policy, service, decider)
    server.scale(first)
    due_s = curve.arrivals(seed)
    load = Replay(len(due_s) / curve.lasts_s, curve.lasts_s, due_s=tuple(due_s.tolist()))
    # Where too few serve all along, the last wait for as long as it takes to serve all.
    url, timeout_s = server.predict_url, 60.0 + PATIENCE * curve.lasts_s
    follower = _Follower(server, policy, decider, service.vcpus, [Life(0.0, 0.0) for _ in range(first)])
    follower.start()
    try:
        found = run(url, pool, load, headers=server.headers, seed=seed, timeout_s=timeout_s)
    finally:
        follower.stop()
    if follower.failed is not None:
        raise ExperimentError(f"the autoscaler ended early: {follower.failed}") from follower.failed
    return _lived(policy, service, curve, due_s, found, follower)


@dataclass
class _Follower:
    """A thread that polls, decides and scales until it is stopped."""

    server: TorchServe
    policy: Policy
    decider: Decider
    vcpus: float
    lives: list[Life]
    polls: list[tuple[float, Seen]] = field(default_factory=list)
    failed: ExperimentError | None = None

    def start(self) -> None:
        self.cpu_s: dict[int, float] = {}
        self.worked_s = self.served_s = self.last_s = 0.0
        self.metrics = Metrics(self.policy.control.window_s)
        self.before = self.server.counters().get(REQUESTS, 0.0)
        self._watch_cpu()
        self.stopped, self.begun_s = Event(), monotonic()
        self.thread = Thread(target=self._follow, name="autoscaler", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def _follow(self) -> None:
        polling_s, number = self.policy.control.polling_s, 1
        while not self.stopped.wait(max(0.0, self.begun_s + number * polling_s - monotonic())):
            try:
                self._poll(monotonic() - self.begun_s)
            except ExperimentError as error:
                self.failed = error
                return
            number = max(number + 1, int((monotonic() - self.begun_s) / polling_s) + 1)

    def _poll(self, now_s: float) -> None:
        ready, cpu_s = self._watch_cpu()
        self.worked_s += cpu_s / self.vcpus
        self.served_s += ready * (now_s - self.last_s)
        self.last_s = now_s
        there = [life for life in self.lives if life.leaves_s == float("inf")]
        loading = sorted((life for life in there if life.ready_s > now_s), key=lambda life: life.begun_s)
        for life in loading[: max(0, ready - (len(there) - len(loading)))]:
            life.ready_s = now_s
        arrived = self.server.counters().get(REQUESTS, 0.0) - self.before
        rate_rps, busy = self.metrics.note(now_s, arrived, self.worked_s, self.served_s)
        seen = Seen(rate_rps, busy, ready, len(there))
        self.polls.append((now_s, seen))
        self._resize(now_s, there, self.decider.decide(now_s, self.policy.wanted(seen), len(there)))

    def _resize(self, now_s: float, there: list[Life], count: int) -> None:
        if count == len(there):
            return
        self.server.scale(count, wait=False)
        self.lives += [Life(now_s, float("inf")) for _ in range(count - len(there))]
        for life in there[count:]:
            life.leaves_s = life.gone_s = now_s

    def _watch_cpu(self) -> tuple[int, float]:
        """How many workers serve, and the seconds of CPU that they took since they were last looked at."""
        serving = [worker.pid for worker in self.server.workers() if worker.status == "READY"]
        now: dict[int, float] = {}
        for pid in serving:
            with suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                now[pid] = times.user + times.system
        took_s = sum(taken - self.cpu_s[pid] for pid, taken in now.items() if pid in self.cpu_s)
        self.cpu_s = now
        return len(serving), took_s


def _lived(
    policy: Policy,
    service: Service,
    curve: Curve,
    due_s: NDArray[np.float64],
    found: LoadResult,
    follower: _Follower,
) -> Lived:
    if found.pacing is None or found.pacing.scheduled < len(due_s):
        raise ExperimentError(f"the load ended early: {found.first_error}; see the server's log")
    good = (found.status >= 200) & (found.status < 300)
    came_s = found.pacing.scheduled_s[good]
    never = len(due_s) - len(came_s)
    outcome = outcome_of(
        policy.name,
        service.bound_ms,
        np.concatenate([came_s, np.zeros(never)]),
        np.concatenate([found.end_s[good], np.full(never, np.inf)]),
        follower.lives,
        curve.lasts_s,
    )
    loaded_s = [life.ready_s - life.begun_s for life in follower.lives if 0 < life.begun_s < life.ready_s]
    return Lived(
        replace(outcome, requests=len(due_s)),
        failures=never,
        polls=tuple(follower.polls),
        loading_s=tuple(seconds for seconds in loaded_s if np.isfinite(seconds)),
        problems=(found.pacing.generator_problem,) if found.pacing.generator_problem else (),
    )
