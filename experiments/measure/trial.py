"""One trial: put its load on a registered model and turn what came back into a TrialResult.

The server is started and the model registered elsewhere; where results go is not known here.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from experiments.base.cores import allowed_cores
from experiments.base.errors import ServerError
from experiments.load import Body, ClosedLoop, LoadError, LoadResult, OpenLoop, Sending
from experiments.load.goodput import Goodput, NoGoodputError, as_json, find
from experiments.load.sources import HERE, Sent, Source
from experiments.measure.alone import Alone
from experiments.measure.hosts import Host, bodies, counters_of, frontends
from experiments.plan import Trial, parse_slo
from experiments.plan.defaults import LONGEST_LOOK_S
from experiments.results.telemetry import FRONTEND, LOAD_GENERATOR, WORKERS
from experiments.results.trial_result import PERCENTILES, TrialResult
from experiments.serving.arms import Arm
from experiments.serving.instances import is_alive
from experiments.serving.registration import Worker
from experiments.watch.counters import between, read_multiprocessors
from experiments.watch.flags import Flag, flags_of, others_too_busy
from experiments.watch.telemetry import Recorder, sampling
from mps.card import Gpu, not_in_force, not_in_partition

LAST_WORDS = "this worker ends itself"  # of handlers/model/lost.py, which needs torch
LONGEST_WARM_UP = 5  # times as long as planned, where the rate is not steady before


@dataclass(frozen=True, slots=True)
class Serving:
    """A registered model: its server, the workers as they were when it was ready, and the arm they are in.

    `card` is the GPU that they share, None where they run on the CPU; `gpu_memory_before_bytes` is what was
    in use of its memory before the server started. `alone` was measured when the model was loaded. `source`
    sends the loads.
    """

    server: Host
    workers: Sequence[Worker]
    arm: Arm
    torch_threads: int
    card: Gpu | None = None
    gpu_memory_before_bytes: int | None = None
    alone: Alone = field(default_factory=Alone)
    source: Source = HERE

    @property
    def worker_pids(self) -> list[int]:
        """The processes that answer."""
        return [worker.pid for worker in self.workers]


def measure(
    trial: Trial,
    serving: Serving,
    pool: Sequence[Body],
    note: Callable[[str], None] = lambda line: None,
    *,
    keep_answers: bool = False,
    first_clock_mhz: float | None = None,
) -> tuple[TrialResult, LoadResult | None]:
    """Warms up, measures, and checks that every answer was good, that every worker lived through it and
    that it was in its arm. `note` hears how a search for a rate goes on. `keep_answers` leaves what was
    answered in the LoadResult; `first_clock_mhz` is the GPU's mean clock in the cell's first run.

    Raises ServerError when the server is gone, ExperimentError when what carries the arm has failed.
    """
    started_at, mark = _now(), serving.server.log_mark()
    server, pids = serving.server, serving.worker_pids
    groups = {FRONTEND: frontends(server, pids), WORKERS: pids}
    if serving.source.is_here:
        groups[LOAD_GENERATOR] = [os.getpid()]
    pool = bodies(server, pool)
    try:
        before = counters_of(server)
        with sampling(groups, serving.card.uuid if serving.card else None) as recorder:
            others = partial(_others, recorder)
            sent, goodput = _put_on(trial, serving, pool, note, others, keep_answers)
    except NoGoodputError as error:
        busy = error.disturbed is not None
        return failed(trial, str(error), serving.torch_threads, may_have_passed=busy), None
    except LoadError as error:
        raise ServerError(str(error), details=server.log_since(0)) from error
    after = counters_of(server)
    serving.arm.check()
    measured = sent.result
    window = measured.begin_s, measured.begin_s + measured.window_s
    telemetry = recorder.summary(measured.requests, window)
    found = goodput.problems() if goodput else measured.problems()
    multiprocessors = read_multiprocessors(server.folder, pids)
    strayed = [
        *serving.arm.problems(pids),
        *not_in_force(serving.card, trial.cell.thread_percentage, multiprocessors),
        *not_in_partition(serving.arm.multiprocessors, multiprocessors),
    ]
    passing, own = _by_cause(found, _deaths(pids, server.log_since(mark)), strayed, measured)
    flags = flags_of(trial.cell, measured, telemetry, allowed_cores(), first_clock_mhz=first_clock_mhz)
    if disturbed := goodput.disturbed if goodput else sent.disturbed:
        flags.append(Flag(disturbed, disturbs=True))
    if recorder.killed and telemetry.window_s is None:
        flags.append(Flag("the telemetry sampler was killed: what else ran is not known", disturbs=True))
    result = TrialResult(
        trial=trial,
        started_at=started_at,
        throughput_rps=goodput.rate_rps if goodput else measured.throughput_rps,
        latency_ms=_latencies_ms(measured),
        answers=measured.requests,
        window_s=measured.window_s,
        statuses={str(status): count for status, count in sorted(measured.statuses.items())},
        lost_connections=measured.lost_connections,
        client_cpu_us_per_request=measured.cpu_us_per_request if measured.requests else None,
        torch_threads=serving.torch_threads,
        worker_pids=pids,
        mps_clients=serving.arm.clients(pids),
        counted=between(before, after) if before and after else None,
        gpu_memory_before_bytes=serving.gpu_memory_before_bytes,
        telemetry=telemetry,
        problems=[*passing, *own],
        flags=[flag.text for flag in flags],
        discarded_s=measured.discarded_s,
        discarded_answers=measured.discarded_answers,
        open_loop=measured.pacing.told() if measured.pacing else None,
        goodput=as_json(goodput) if goodput else None,
        disturbances=tuple(flag.text for flag in flags if flag.disturbs),
        may_have_passed=bool(passing) and not own,
        multiprocessors=multiprocessors,
        alone_latency_ms=serving.alone.latency_ms,
        idle_cpu_cores=serving.alone.idle_cpu_cores,
        load_from=sent.load_from,
    )
    return result, measured


def _by_cause(
    of_load: Sequence[str], deaths: Sequence[str], of_arm: Sequence[str], measured: LoadResult
) -> tuple[list[str], list[str]]:
    """The problems of causes that may have passed, and those that are the cell's own.

    Only what is known to pass is taken for it: a worker's death, with the failures that it brings, and
    connections that were lost while every answer was good.
    """
    if deaths:
        return [*of_load, *deaths, *of_arm], []
    good = all(200 <= status < 300 for status in measured.statuses)
    if measured.lost_connections and good and len(of_load) == 1:
        return list(of_load), list(of_arm)
    return [], [*of_load, *of_arm]


def traffic_of(trial: Trial) -> ClosedLoop | OpenLoop:
    """The load that a trial asks for, where it doesn't search for one."""
    load, rate_rps = trial.load, trial.cell.rate_rps
    if rate_rps is None:
        return ClosedLoop(
            connections=load.connections,
            duration_s=load.duration_s,
            requests=load.requests,
            warm_up_s=load.warm_up_s,
            longest_warm_up_s=LONGEST_WARM_UP * load.warm_up_s,
        )
    assert load.duration_s is not None  # a plan with rates has one
    return OpenLoop(rate_rps, load.duration_s, load.arrivals, load.warm_up_s, load.connections)


def _put_on(
    trial: Trial,
    serving: Serving,
    pool: Sequence[Body],
    note: Callable[[str], None],
    others: Callable[[LoadResult], str | None],
    keep_answers: bool,
) -> tuple[Sent, Goodput | None]:
    """Sends the trial's load, or loads of many rates; of those, the result is that of the rate nearest to the
    highest that the bound allows. `others` tells what other programs did during one of them."""
    load, server = trial.load, serving.server

    def send(traffic: ClosedLoop | OpenLoop, seed: int) -> Sent:
        sending = Sending(server.predict_url, pool, traffic, server.headers, seed)
        return serving.source.send(sending, processes=load.processes, keep_answers=keep_answers)

    if load.slo is None:
        return send(traffic_of(trial), trial.seed), None
    at_rates: dict[float, Sent] = {}
    there: list[str | None] = []  # what disturbed each load where it came from

    def keep(traffic: ClosedLoop | OpenLoop, seed: int) -> LoadResult:
        sent = send(traffic, seed)
        there.append(sent.disturbed)
        if isinstance(traffic, OpenLoop):
            at_rates[traffic.rate_rps] = sent
        return sent.result

    goodput = find(
        keep,
        parse_slo(load.slo),
        arrivals=load.arrivals,
        max_in_flight=load.connections,
        longest_s=load.duration_s or LONGEST_LOOK_S,
        seed=trial.seed,
        note=lambda probe: note(str(probe)),
        disturbed=lambda result: others(result) or there[-1],
    )
    return at_rates[goodput.nearest.rate_rps], goodput


def _others(recorder: Recorder, measured: LoadResult) -> str | None:
    """What other programs used while a load was measured, where that is much."""
    window = measured.begin_s, measured.begin_s + measured.window_s
    return others_too_busy(recorder.so_far(window), allowed_cores())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def failed(trial: Trial, reason: str, torch_threads: int, *, may_have_passed: bool = False) -> TrialResult:
    """The record of a trial that could not be measured at all, because of `reason`."""
    return TrialResult(
        trial=trial,
        started_at=_now(),
        throughput_rps=0.0,
        latency_ms={},
        answers=0,
        window_s=0.0,
        statuses={},
        lost_connections=0,
        client_cpu_us_per_request=None,
        torch_threads=torch_threads,
        worker_pids=[],
        mps_clients=[],
        counted=None,
        gpu_memory_before_bytes=None,
        telemetry=None,
        problems=[reason],
        may_have_passed=may_have_passed,
    )


def _latencies_ms(measured: LoadResult) -> dict[str, float]:
    if not measured.requests:
        return {}
    percentiles = {f"p{p}": measured.latency_ms(p) for p in PERCENTILES}
    return percentiles | {"mean": float(measured.latency_s.mean()) * 1e3}


def _deaths(pids: Sequence[int], log: str) -> list[str]:
    """Workers that are gone, with what one of ours said last. Asking TorchServe instead would run nvidia-smi
    once for each of them."""
    dead = [pid for pid in pids if not is_alive(pid)]
    if not dead:
        return []
    said = re.search(rf"the context on .* {LAST_WORDS} .*", log)
    return [f"{len(dead)} of {len(pids)} workers died during the trial{f': {said[0]}' if said else ''}"]
