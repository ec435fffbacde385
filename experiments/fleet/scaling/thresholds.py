"""When to add an instance and when to take one away, from what was measured.

An instance that is asked for at a poll serves `polling_s + loading_s` after the moment that made it
necessary, at worst. Until then the others carry what came on top. So the rate that an instance is trusted
with is its capacity divided by the growth within that time:

    growth = r(t) / m(t - polling_s - loading_s)    the quantile of it that `percentile` % of requests need
    m(t)   = highest average over window_s that was seen within stabilisation_s before t
    up     = capacity / growth                          per instance; above it one is added
    target = up / (1 + tolerance)                       what the autoscaler is given, as it ignores the rest
    down   = min((n - 1) / n, 1 - tolerance) x target   per instance of n; below it one is taken away

An autoscaler that starts ceil(rate / target) instances then has, at all times but for what the quantile
leaves out, as many that serve as the rate takes: n x capacity >= m x growth >= r.

Growth ends at the peak. Where rate x growth would exceed the history's highest rate, that is planned for;
where the rate itself exceeds it, the rate is: max(rate, min(rate x growth, peak)).

An instance that idles costs nothing but its time, and one that was taken away too early costs `loading_s` of
an instance's time that serves nobody. To keep it for just as long is never more than twice as dear as to know
the future (ski rental: Karlin, Manasse, Rudolph, Sleator, Competitive snoopy caching, Algorithmica 3, 1988),
so stabilisation_s = loading_s, in whole polls. cooldown_s, after which KEDA goes down to none, is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from experiments.base.errors import UsageError
from experiments.fleet.scaling.curves import Curve
from experiments.fleet.scaling.decisions import Control
from experiments.fleet.service import Service
from experiments.placement.simulation.arrivals import Times


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What an autoscaler is told (see the module). Rates are in requests/s; `growth` is a factor, `lag_s` the
    time within which it is expected, `peak_rps` the highest rate that is."""

    capacity_rps: float
    growth: float
    lag_s: float
    peak_rps: float
    control: Control
    cooldown_s: float

    @property
    def up_rps(self) -> float:
        """The rate per instance at which one is added."""
        return self.capacity_rps / self.growth

    @property
    def target_rps(self) -> float:
        """The rate per instance that the autoscaler aims at: KEDA's `threshold`, HPA's `averageValue`."""
        return self.up_rps / (1 + self.control.tolerance)

    def down_rps(self, instances: int) -> float:
        """The rate per instance below which one of so many is taken away, once it stayed there."""
        return self.target_rps * min((instances - 1) / instances, 1 - self.control.tolerance)

    def wanted(self, rate_rps: float) -> float:
        """The instances that a measured rate takes, with fractions."""
        expected_rps = max(rate_rps, min(rate_rps * self.growth, self.peak_rps))
        return expected_rps * (1 + self.control.tolerance) / self.capacity_rps


def thresholds(
    service: Service,
    history: Curve,
    *,
    polling_s: float = 15.0,
    window_s: float = 60.0,
    tolerance: float = 0.1,
    percentile: float | None = None,
) -> Thresholds:
    """The thresholds of a service whose demand went as `history` did.

    `percentile` is that of the requests whose growth is provided for, by default the service's own: lower is
    cheaper. Raises UsageError where the service has no capacity, the percentile is none, or the history is
    too short.
    """
    if not service.capacity_rps > 0:
        raise UsageError(f"{service.name} has a capacity of {service.capacity_rps:g} requests/s: measure it")
    percentile = service.percentile if percentile is None else percentile
    if not 0 <= percentile <= 100:
        raise UsageError(f"{percentile:g} % of requests are none: give 0 to 100")
    held_s = polling_s * ceil(max(service.loading_s, polling_s) / polling_s - 1e-9)
    control = Control(polling_s, window_s, held_s, tolerance)
    lag_s = polling_s + service.loading_s
    growth = growth_in(history, control, lag_s, percentile)
    return Thresholds(service.capacity_rps, growth, lag_s, history.peak_rps, control, held_s)


def growth_in(history: Curve, control: Control, lag_s: float, percentile: float) -> float:
    """The factor by which the rate exceeds what was measured `lag_s` before, but for the requests beyond the
    percentile; 1 at least.

    Raises UsageError where the history isn't longer than that.
    """
    rates = history.each(1.0)
    lag = ceil(lag_s)
    if len(rates) <= lag:
        raise UsageError(
            f"{history.name} lasts {history.lasts_s:g} s, an instance takes {lag_s:g} s to come: "
            "give a longer one"
        )
    known = _highest(_averaged(rates, round(control.window_s)), round(control.stabilisation_s))[:-lag]
    later = rates[lag:]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(later > 0, later / known, 0.0)
    order = np.argsort(ratios)
    share = np.cumsum(later[order])
    if not share[-1] > 0:
        return 1.0
    ratio = float(ratios[order][np.searchsorted(share, share[-1] * (percentile / 100))])
    # From nothing at all everything is infinite growth: least_instances is what helps there.
    finite = float(ratios[np.isfinite(ratios)].max(initial=1.0))
    return max(1.0, min(ratio, finite))


def _averaged(rates: Times, window: int) -> Times:
    """The average of each moment and those before it, of so many as there are, `window` at most."""
    sums = np.concatenate([[0.0], np.cumsum(rates)])
    end = np.arange(1, len(rates) + 1)
    begin = np.maximum(0, end - max(1, window))
    averages: Times = (sums[end] - sums[begin]) / (end - begin)
    return averages


def _highest(rates: Times, before: int) -> Times:
    """The highest of each moment and of `before` moments before it."""
    padded = np.concatenate([np.full(before, -np.inf), rates])
    highest: Times = np.lib.stride_tricks.sliding_window_view(padded, before + 1).max(axis=1)
    return highest
