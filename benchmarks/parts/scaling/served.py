"""The same live: a model that sleeps, and workers that follow a curve, beside the simulation of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import requests

from benchmarks.parts.interleaved import Tell
from benchmarks.parts.scaling.cases import LESS, service
from benchmarks.parts.scaling.sleeping import sleeping_archive
from experiments.fleet.scaling import (
    Batches,
    Control,
    Curve,
    Lived,
    OnRate,
    OnUtilisation,
    Outcome,
    Policy,
    bursts,
    daily,
    fixed_for,
    linear,
    live,
    ramp,
    simulate,
    thresholds,
)
from experiments.fleet.service import Service
from experiments.load import Body
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve

FIXED_MS, EACH_MS, BATCH = 40.0, 15.0, 4
BOUND_MS = 300.0
MOST_WORKERS = 6
LASTS_S = 120.0
PEAK_RPS = 120.0
POLLING_S, WINDOW_S, STABILISATION_S = 2.0, 4.0, 20.0
"""A day of 86,400 s in 120 s: polls of 15 s would be too few. The CPU-based ones wait ten polls before they
take workers away, where Kubernetes waits twenty of its own."""
WORKERS_CPU = 1.0
"""Cores that a worker is taken to request."""


@contextmanager
def served() -> Iterator[TorchServe]:
    """A TorchServe with one worker of the model that sleeps."""
    with TemporaryDirectory() as folder, torchserve(env={"OMP_NUM_THREADS": "1"}) as server:
        archive = sleeping_archive(Path(folder), FIXED_MS, EACH_MS)
        server.register(Registration(archive, 1, BATCH, batch_delay_ms=1))
        yield server


def calibrated(server: TorchServe, tell: Tell) -> tuple[Service, Batches]:
    """The service as it is here: what a request takes beside the sleep, and how long workers load, two at
    once as they do when the rate rises."""
    asked = Body(b"x", "text/plain")
    overhead_ms = max(0.0, median(_latencies_ms(server, asked, 40)) - FIXED_MS - EACH_MS)
    loading_s = median(_loading_s(server) for _ in range(3))
    batches = linear(FIXED_MS + overhead_ms, EACH_MS, BATCH, delay_ms=1.0)
    known = replace(service("sleeping", batches, BOUND_MS, loading_s, MOST_WORKERS), vcpus=WORKERS_CPU)
    tell(
        f"a request takes {overhead_ms:.1f} ms beside the sleep, two workers load for {loading_s:.1f} s, "
        f"capacity {known.capacity_rps:.1f} requests/s a worker"
    )
    return known, batches


def curves(seed: int, lasts_s: float = LASTS_S) -> list[tuple[Curve, Curve]]:
    """What was and what comes: the curves of the simulation, squeezed."""
    days = [daily(10.0, 120.0, seed + n) for n in (1, 2)]
    waves = [bursts(25.0, seed + n, lasts_s=3600.0, every_s=600.0) for n in (1, 2)]
    rising = ramp(20.0, 100.0)
    pairs = (days, waves, [rising, rising])
    return [(was.squeezed(lasts_s, PEAK_RPS), comes.squeezed(lasts_s, PEAK_RPS)) for was, comes in pairs]


def policies(known: Service, history: Curve, curve: Curve) -> list[Policy]:
    """Ours, ours for less, by CPU at 70 %, fixed."""
    control = Control(POLLING_S, WINDOW_S, STABILISATION_S)
    ours = thresholds(known, history, polling_s=POLLING_S, window_s=WINDOW_S)
    less = thresholds(known, history, polling_s=POLLING_S, window_s=WINDOW_S, percentile=LESS)
    return [
        OnRate(ours),
        OnRate(less, f"the same for {LESS:g} %"),
        OnUtilisation(70.0, control),
        fixed_for(curve.peak_rps, known.capacity_rps),
    ]


def both(
    server: TorchServe, known: Service, batches: Batches, was: Curve, curve: Curve, seed: int, tell: Tell
) -> Iterator[tuple[Lived, Outcome]]:
    """Each policy live and simulated with the same arrivals, and with the CPU and the time to load that live
    workers took, where any came: the thresholds know only what was calibrated."""
    for policy in policies(known, was, curve):
        lived = live(server, policy, known, curve, [Body(b"x", "text/plain")], seed)
        tell(f"{curve.name}, {policy.name}: {lived.outcome.attainment:.2%} within the bound live")
        busy = replace(batches, busy_cpu=_busy_cpu(lived, known, batches))
        loaded_s = median(lived.loading_s) if lived.loading_s else known.loading_s
        as_lived = replace(known, loading_s=loaded_s)
        yield lived, simulate(curve, policy, as_lived, busy, seed=seed, shared=True)


def _busy_cpu(lived: Lived, known: Service, batches: Batches) -> float:
    """Cores that a worker took while it was busy: its CPU over the least share of the time that it was."""
    shares = []
    for _, seen in lived.polls:
        if seen.utilisation is not None and seen.ready and seen.rate_rps:
            at_work = min(1.0, seen.rate_rps / (seen.ready * batches.highest_rps))
            shares.append(seen.utilisation / at_work)
    return min(1.0, median(shares)) if shares else 0.0


def _latencies_ms(server: TorchServe, asked: Body, count: int) -> list[float]:
    took = []
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(count):
            begun_s = perf_counter()
            answer = session.post(server.predict_url, data=asked.data, headers=server.headers, timeout=30)
            answer.raise_for_status()
            took.append(1000 * (perf_counter() - begun_s))
    return took


def _loading_s(server: TorchServe) -> float:
    server.scale(1)
    begun_s = perf_counter()
    server.scale(3)
    return perf_counter() - begun_s
