"""What is simulated: a service, what its demand was, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.changing_rates import MODELS, trace
from benchmarks.parts import sharing
from experiments.fleet.scaling import (
    Batches,
    Curve,
    Fixed,
    OnRate,
    OnUtilisation,
    Outcome,
    Policy,
    bursts,
    capacity_rps,
    daily,
    fixed_for,
    linear,
    of_periods,
    ramp,
    simulate,
    thresholds,
)
from experiments.fleet.service import Service
from experiments.placement.periods import MAKE_PART_S

TARGETS = (50, 70, 80)
LESS = 90.0
"""The percentile of the second set of our thresholds, which take more misses for fewer instances."""
ON_A_GPU = 0.3
"""The CPU that an instance takes, of what it requests, while a GPU does its work."""
VGG_SHARE = 20
"""Of a card in percent, for an instance of the trace's model."""


@dataclass(frozen=True, slots=True)
class Case:
    """A service whose demand went as `history` did and goes as `curve` does."""

    title: str
    service: Service
    batches: Batches
    history: Curve
    curve: Curve


def service(
    name: str, batches: Batches, bound_ms: float, loading_s: float, most: int, seed: int = 0
) -> Service:
    """A service whose capacity is what the simulation of one instance says."""
    return Service(
        name=name,
        archive=f"{name}.mar",
        workers=batches.workers,
        batch_size=batches.size,
        batch_delay_ms=round(batches.delay_ms),
        instances=1,
        least_instances=1,
        most_instances=most,
        capacity_rps=capacity_rps(batches, bound_ms, seed=seed),
        bound_ms=bound_ms,
        vcpus=1.0,
        memory_bytes=2**30,
        loading_s=loading_s,
    )


def cases(seed: int, shorter: float = 1.0) -> Iterator[Case]:
    """All of them. Histories have other seeds than curves; with `shorter` below 1 the day and the bursts last
    so much of their time, to try the script."""
    batches = linear(60.0, 30.0, 8, delay_ms=10.0)
    small = service("text", batches, 750.0, 40.0, 20, seed)
    days = [daily(10.0, 120.0, seed + n, lasts_s=86_400 * shorter, step_s=60.0) for n in (1, 2)]
    waves = [bursts(25.0, seed + n, lasts_s=max(3600.0, 43_200 * shorter)) for n in (1, 2)]
    rising = ramp(20.0, 100.0)
    yield Case("a day", small, batches, *days)
    yield Case("a day, on a GPU", small, replace(batches, busy_cpu=ON_A_GPU), *days)
    yield _unbatched(seed, shorter)
    yield Case("bursts, 4 times for 60 s", small, batches, *waves)
    yield Case("a ramp of 10 minutes and a step, both to 5 times", small, batches, rising, rising)
    yield _published(seed)


def _unbatched(seed: int, shorter: float) -> Case:
    """One request at a time: an instance's CPU is then what it is asked for."""
    batches = linear(60.0, 30.0, 1)
    alone = service("alone", batches, 750.0, 40.0, 20, seed)
    days = (daily(5.0, 60.0, seed + n, lasts_s=86_400 * shorter) for n in (1, 2))
    return Case("a day, no batches", alone, batches, *days)


def _published(seed: int) -> Case:
    """VGG-16 of the gpu-let paper's scaling run: its first half is known, the second is played."""
    known = sharing.rtx2080ti().curve("vgg16", VGG_SHARE)
    fitting = [float(latency_ms) for latency_ms in known[1:] if 2 * latency_ms <= sharing.THREE["vgg16"]]
    batches = Batches(tuple(fitting))
    vgg = service("vgg16", batches, sharing.THREE["vgg16"], MAKE_PART_S, 20, seed)
    whole = of_periods("gpu-let's trace", trace(), list(MODELS).index("vgg16"))
    half = len(whole.rates_rps) // 2
    title = f"gpu-let's trace, VGG-16 on {VGG_SHARE} % of RTX 2080 Ti"
    halves = (replace(whole, rates_rps=rates) for rates in (whole.rates_rps[:half], whole.rates_rps[half:]))
    return Case(title, vgg, batches, *halves)


def policies(case: Case) -> list[Policy]:
    """Ours, ours for less, by CPU, and the fleet for the peak, which knows the curve that comes."""
    fixed: Fixed = fixed_for(case.curve.peak_rps, case.service.capacity_rps)
    less = thresholds(case.service, case.history, percentile=LESS)
    return [
        OnRate(thresholds(case.service, case.history)),
        OnRate(less, f"the same for {LESS:g} %"),
        *(OnUtilisation(target) for target in TARGETS),
        fixed,
    ]


def outcomes(case: Case, seed: int) -> list[Outcome]:
    """What comes of each policy, with the same arrivals; the fixed fleet is the last."""
    return [simulate(case.curve, policy, case.service, case.batches, seed=seed) for policy in policies(case)]
