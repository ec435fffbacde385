"""Demands over time: rates that change, and the requests that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np

from experiments.base.errors import UsageError
from experiments.placement.periods import Period
from experiments.placement.simulation.arrivals import Times

DAY_S, MINUTE_S = 86_400.0, 60.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Rates in requests/s, each for `step_s` seconds, from 0 on.

    Raises UsageError where there is none, or one isn't a rate.
    """

    name: str
    step_s: float
    rates_rps: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rates_rps or not 0 < self.step_s < float("inf"):
            raise UsageError(f"curve {self.name}: nothing in it: give rates, and more than 0 s for each")
        if wrong := [rate for rate in self.rates_rps if not 0 <= rate < float("inf")]:
            raise UsageError(f"curve {self.name}: {wrong[0]:g} requests/s is no rate: give 0 or more")

    @property
    def lasts_s(self) -> float:
        return self.step_s * len(self.rates_rps)

    @property
    def peak_rps(self) -> float:
        """The highest rate."""
        return max(self.rates_rps)

    def each(self, step_s: float = 1.0) -> Times:
        """The rate at 0, `step_s`, 2 `step_s`, ...; shape (moments,)."""
        at_s = np.arange(0, self.lasts_s - 1e-9, step_s)
        return np.array(self.rates_rps)[(at_s / self.step_s + 1e-9).astype(np.int64)]

    def arrivals(self, seed: int) -> Times:
        """When requests come, in seconds, ascending: Poisson at each rate."""
        random = np.random.default_rng(seed)
        counts = random.poisson(np.array(self.rates_rps) * self.step_s)
        starts_s = np.repeat(np.arange(len(counts)) * self.step_s, counts)
        return np.sort(starts_s + random.uniform(0, self.step_s, len(starts_s)))

    def squeezed(self, lasts_s: float, peak_rps: float) -> Curve:
        """The same in `lasts_s` seconds, with another peak."""
        times = peak_rps / self.peak_rps if self.peak_rps else 0.0
        rates_rps = tuple(rate * times for rate in self.rates_rps)
        return Curve(self.name, lasts_s / len(self.rates_rps), rates_rps)


def day_through(name: str, points_rps: Sequence[float]) -> Curve:
    """A day by the minute, in straight lines from point to point, and from the last one to the first."""
    step_s = DAY_S / len(points_rps)
    moments_s = np.arange(0.0, DAY_S, MINUTE_S)
    at_s = np.arange(len(points_rps)) * step_s
    return Curve(name, MINUTE_S, tuple(map(float, np.interp(moments_s, at_s, points_rps, period=DAY_S))))


def daily(
    least_rps: float,
    peak_rps: float,
    seed: int,
    *,
    lasts_s: float = DAY_S,
    step_s: float = MINUTE_S,
    noise: float = 0.05,
) -> Curve:
    """A day: a cosine from the least rate at its start to the peak at its middle, and back.

    Its noise is a first-order autoregression of the logarithm (0.9 from step to step), with a standard
    deviation of `noise`, so that neighbouring steps differ less than distant ones.
    """
    random = np.random.default_rng(seed)
    steps = round(lasts_s / step_s)
    shape = (1 - np.cos(2 * pi * np.arange(steps) / steps)) / 2
    drift, shocks = np.zeros(steps), random.normal(0, noise * np.sqrt(1 - 0.9**2), steps)
    for step in range(steps):
        drift[step] = 0.9 * drift[step - 1] + shocks[step] if step else random.normal(0, noise)
    rates = (least_rps + (peak_rps - least_rps) * shape) * np.exp(drift)
    return Curve("a day", step_s, tuple(rates.tolist()))


def bursts(
    calm_rps: float,
    seed: int,
    *,
    lasts_s: float = 21_600.0,
    times: float = 4.0,
    burst_s: float = 60.0,
    every_s: float = 900.0,
) -> Curve:
    """A calm rate, and `times` as much for `burst_s`; bursts begin `every_s` seconds apart on average (gaps
    between them are exponential)."""
    random = np.random.default_rng(seed)
    rates = np.full(round(lasts_s / 5.0), calm_rps)
    begins_s = random.exponential(every_s - burst_s)
    while begins_s < lasts_s:
        rates[round(begins_s / 5.0) : round((begins_s + burst_s) / 5.0)] = times * calm_rps
        begins_s += burst_s + random.exponential(every_s - burst_s)
    return Curve(f"bursts of {times:g} times", 5.0, tuple(rates.tolist()))


def ramp(
    low_rps: float, high_rps: float, *, ramp_s: float = 600.0, hold_s: float = 1800.0, step_at: bool = True
) -> Curve:
    """Low, in `ramp_s` up to high, high, and down at once; with `step_at` then low, and up at once, too."""
    low, high = [low_rps] * round(hold_s / 5), [high_rps] * round(hold_s / 5)
    rising = np.linspace(low_rps, high_rps, round(ramp_s / 5)).tolist()
    rates = [*low, *rising, *high, *low]
    return Curve("a ramp and a step", 5.0, tuple([*rates, *high, *low] if step_at else rates))


def of_periods(name: str, periods: Sequence[Period], workload: int) -> Curve:
    """The rates of one workload of a trace, whose periods must be equally long.

    Raises UsageError where they aren't.
    """
    lasts_s = {round(period.lasts_s, 6) for period in periods}
    if len(lasts_s) != 1:
        raise UsageError(
            f"{name}: its periods last {sorted(lasts_s)} s: give a trace whose periods are alike"
        )
    return Curve(name, lasts_s.pop(), tuple(period.rates_rps[workload] for period in periods))
