"""The roofline: how fast a device could run a model at best, from the model's work and the device's peaks.

Pure arithmetic. The work is counted in work.py, peaks are measured by bare.py or looked up in datasheet.py.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Work:
    """What one request asks of the device, and what every batch does; `count` of work.py says how they are
    counted. Means over the inputs, each alone: padding is the handler's, not the model's.

    `precision` is that of the products: fp32, tf32, fp16, bf16 or, where it can't be told, None.
    """

    flop: float
    activation_bytes: float
    weight_bytes: int
    precision: str | None


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a device can do in a second in one precision, and who says so: a datasheet or a measurement."""

    flops: float
    bytes_per_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Roofline:
    """The most requests a second at one batch size, and which of the two peaks sets the limit."""

    throughput_rps: float
    bound: Literal["compute", "memory"]


def roofline(work: Work, batch_size: int, peaks: Peaks) -> Roofline:
    """A batch takes at least t(b) = max(b F / P, (W + b A) / B), so b / t(b) is the most in a second.

    F: operations a request, A: bytes of activations a request, W: bytes of weights a batch, P: peak
    operations and B: peak bytes a second; the model of Williams, Waterman and Patterson (2009), "Roofline: an
    insightful visual performance model for multicore architectures". Workers on one device share its peaks,
    so the limit is the same for any number of them.

    A is an estimate, and caches can hold what it counts: where memory is the bound, a measurement may pass.
    """
    compute_s = batch_size * work.flop / peaks.flops
    memory_s = (work.weight_bytes + batch_size * work.activation_bytes) / peaks.bytes_per_s
    bound: Literal["compute", "memory"] = "compute" if compute_s >= memory_s else "memory"
    return Roofline(batch_size / max(compute_s, memory_s), bound)
