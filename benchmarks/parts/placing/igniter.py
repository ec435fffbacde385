"""iGniter's analytic model of models side by side on a V100, fitted to its profile.

The model (Xu et al., iGniter, TPDS 2023, section 3; fitted as in github icloud-ecnu/igniter): a batch
of b on r % is active for (k1 b^2 + k2 b + k3) / (r + k4) + k5 ms, longer in proportion to the L2 cache that
its neighbours use; each of its kernels waits longer the more processes there are; and the clock falls with
the power beyond the card's limit. Use of L2 and power are linear in the batches' rate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

from benchmarks.parts import sharing
from experiments.placement.latencies import Curve

Line = tuple[float, float]
"""Slope and intercept."""


@dataclass(frozen=True, slots=True)
class Running:
    """Batches of a model on a share in percent, back to back."""

    model: str
    size: float
    batch: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model's coefficients: its kernels, their wait alone, bytes of a request and its answer, k1 to k5, and
    the use of L2 (percent) and power (W) over requests/s."""

    kernels: float
    idle_ms: float
    moved_bytes: float
    active: tuple[float, float, float, float, float]
    slowed_per_pct: float
    l2: Line
    power: Line

    def active_ms(self, size: float, batch: float) -> float:
        """The kernels' own time, alone."""
        square, slope, constant, offset, least = self.active
        return (square * batch**2 + slope * batch + constant) / (size + offset) + least

    def uses(self, line: Line, size: float, batch: float) -> float:
        """What batches back to back use of L2 or power, by `line`."""
        return line[0] * 1000 * batch / self.active_ms(size, batch) + line[1]


class Igniter:
    """The model of the card, and of each of `models`."""

    def __init__(self) -> None:
        self._rows = sharing.rows("igniter_v100_profile.csv")
        self._highest_mhz = self._value("hardware", "max_frequency_mhz")
        self._most_w = self._value("hardware", "max_power_w")
        self._idle_w = self._value("hardware", "idle_power_w")
        self._bytes_per_ms = self._value("hardware", "bytes_per_ms")
        self._mhz_per_watt = self._clock_over_power()
        self._wait_ms = self._waits()
        names = sorted({row["model"] for row in self._rows} - {"hardware"})
        self.models: Mapping[str, Fitted] = {name: self._fitted(name) for name in names}

    def latencies_ms(self, gpu: Sequence[Running]) -> tuple[float, ...]:
        """What a batch of each takes until it is answered, all of them at work on one GPU."""
        l2 = [self.l2_pct(each) for each in gpu]
        clock = self.clock(gpu)
        return tuple(
            self.on_gpu_ms(each, len(gpu), sum(l2) - own) / clock + self.copied_ms(each)
            for each, own in zip(gpu, l2, strict=True)
        )

    def clock(self, gpu: Sequence[Running]) -> float:
        """The clock's frequency, as a fraction of the highest, all of them at work."""
        models = [self.models[each.model] for each in gpu]
        drawn_w = sum(
            model.uses(model.power, each.size, each.batch) for model, each in zip(models, gpu, strict=True)
        )
        beyond_w = max(0.0, self._idle_w + drawn_w - self._most_w)
        return 1 + self._mhz_per_watt * beyond_w / self._highest_mhz

    def on_gpu_ms(self, running: Running, processes: int, l2_beside_pct: float) -> float:
        """The time on the GPU at the highest clock."""
        model = self.models[running.model]
        wait_ms = self._wait_ms[0] * processes + self._wait_ms[1] if processes > 1 else 0.0
        active_ms = model.active_ms(running.size, running.batch)
        active_ms *= 1 + model.slowed_per_pct * l2_beside_pct
        return model.idle_ms + model.kernels * wait_ms + active_ms

    def copied_ms(self, running: Running) -> float:
        """Copies to the GPU and back."""
        return self.models[running.model].moved_bytes * running.batch / self._bytes_per_ms

    def l2_pct(self, running: Running) -> float:
        """What it uses of the L2 cache."""
        model = self.models[running.model]
        return model.uses(model.l2, running.size, running.batch)

    def _fitted(self, name: str) -> Fitted:
        def value(quantity: str) -> float:
            return self._value(name, quantity)

        taken_ms, clocks = self._measured(name, "latency_ms"), self._measured(name, "frequency_mhz")
        power, l2 = self._measured(name, "power_w"), self._measured(name, "l2_pct")
        beside = value("active_beside_ms") * value("frequency_beside_mhz") / self._highest_mhz
        rates = {point: 1000 * point[0] / (taken_ms[point] - value("idle_ms")) for point in taken_ms}
        full = [point for point in rates if clocks[point] > self._highest_mhz - 1]
        return Fitted(
            value("kernels"),
            value("idle_ms"),
            value("input_bytes") + value("output_bytes"),
            _active(
                {
                    point: taken * clocks[point] / self._highest_mhz - value("idle_ms")
                    for point, taken in taken_ms.items()
                }
            ),
            (beside / value("active_alone_ms") - 1) / value("l2_beside_pct"),
            _line([rates[point] for point in l2], list(l2.values())),
            _line([rates[point] for point in full], [power[point] - self._idle_w for point in full]),
        )

    def _clock_over_power(self) -> float:
        """MHz by which the clock changes for each W beyond the limit. The card never shows more than its
        limit: what more processes would draw is continued from those before."""
        power, clocks = self._by_processes("power_w"), self._by_processes("frequency_mhz")
        full = clocks >= self._highest_mhz
        step_w = np.diff(power[full]).mean()
        beyond = power[full][-1] + step_w * np.arange(1, (~full).sum() + 1) - self._most_w
        return float(beyond @ (clocks[~full] - self._highest_mhz) / (beyond @ beyond))

    def _waits(self) -> Line:
        """How much longer a kernel waits than with one process, in ms, over the processes."""
        waits = self._by_processes("idle_per_kernel_ms") * self._by_processes("frequency_mhz")
        longer = (waits[1:] - waits[0]) / self._highest_mhz
        return _line(range(2, len(waits) + 1), longer.tolist())

    def _value(self, model: str, quantity: str) -> float:
        return next(
            float(row["value"]) for row in self._rows if (row["model"], row["quantity"]) == (model, quantity)
        )

    def _measured(self, model: str, quantity: str) -> dict[tuple[int, int], float]:
        """By batch and percent."""
        return {
            (int(row["batch"]), int(row["percent"])): float(row["value"])
            for row in self._rows
            if (row["model"], row["quantity"]) == (model, quantity)
        }

    def _by_processes(self, quantity: str) -> Curve:
        return np.array(
            [float(row["value"]) for row in self._rows if row["quantity"] == quantity and row["processes"]]
        )


def _line(over: Sequence[float], values: Sequence[float]) -> Line:
    slope, intercept = np.polyfit(over, values, 1).tolist()
    return slope, intercept


def _active(taken_ms: Mapping[tuple[int, int], float]) -> tuple[float, float, float, float, float]:
    """k1 to k5, from what is taken by batch and percent."""

    def active_ms(at: Curve, *k: float) -> Curve:
        return np.asarray((k[0] * at[0] ** 2 + k[1] * at[0] + k[2]) / (at[1] + k[3]) + k[4])

    points = np.array(list(taken_ms), dtype=np.float64).T
    fit: Callable[..., tuple[Curve, ...]] = curve_fit
    square, slope, constant, offset, least = fit(
        active_ms, points, list(taken_ms.values()), p0=np.ones(5), maxfev=100_000
    )[0].tolist()
    return square, slope, constant, offset, least
