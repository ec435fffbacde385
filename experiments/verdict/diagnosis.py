"""What binds a cell: a verdict from measured shares, and the shares in words.

Pure. What is measured comes from counters.py, telemetry.py and ceilings/; no thresholds live elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from experiments.results.counted import Counted
from experiments.results.telemetry import FRONTEND, LOAD_GENERATOR, Telemetry

# Below this, a cell is not what its batch size says: more requests in flight would change it.
FILLED = 0.8
# Where requests are longer outside of TorchServe's queue and workers than inside, they are not too few.
MOSTLY = 0.5
# NVML's utilisation is the time in which any kernel ran: a GPU that idles more than a tenth of it waits for
# its host.
GPU_BUSY = 0.9
# A model that takes four times as long as the device needs for its arithmetic and bytes spends most of its
# time on starting operations that are too small for the device.
ROOFLINE_REACHED = 0.25
# The model is slower than alone by more than noise, and others have a fair part of the cores that it lacks.
SLOWED = 1.25
CROWDED = 0.2


class Bound(StrEnum):
    """What to improve first."""

    NOT_FILLED = "batch not filled"
    FRONTEND = "frontend"
    PREPROCESSING = "preprocessing"
    HOST = "model, host-bound"
    COMPUTE = "model, compute"


@dataclass(frozen=True, slots=True)
class Shares:
    """Measured shares of one cell. None: not known, and then not held against anyone.

    `filled`: mean requests in a batch, of the batch size. `outside`: of a request's time for the client, what
    passes before TorchServe has queued it and after it is answered. `handling`: of the workers' time, what
    passes inside `handle`; `forward`: of that, the forward pass.

    `slowdown`: how often the bare model's time a batch takes in serving. `others_cpu`: of all cores, what the
    frontend and the load generator use. `gpu`: its utilisation. `roofline`: of it, what the bare model
    reaches.
    """

    filled: float
    outside: float
    handling: float
    forward: float
    slowdown: float | None = None
    others_cpu: float | None = None
    gpu: float | None = None
    roofline: float | None = None

    @property
    def worker_time(self) -> dict[Bound, float]:
        """A worker's time: waiting for TorchServe, around the forward pass, in it. Sums to 1."""
        return {
            Bound.FRONTEND: 1 - self.handling,
            Bound.PREPROCESSING: self.handling * (1 - self.forward),
            Bound.COMPUTE: self.handling * self.forward,
        }


def diagnose(shares: Shares) -> Bound:
    """What binds a cell with these shares; every case has exactly one answer.

    Batches that are not full come first: too few requests, or a frontend that can't bring them. With full
    batches it is the largest part of a worker's time. Where that is the model, it is slowed by the others'
    hunger for CPU, or it leaves the device waiting, or the device works as hard as it can.
    """
    if shares.filled < FILLED:
        return Bound.FRONTEND if shares.outside > MOSTLY else Bound.NOT_FILLED
    largest = max(shares.worker_time, key=shares.worker_time.__getitem__)
    if largest is not Bound.COMPUTE:
        return largest
    if (shares.slowdown or 0) > SLOWED and (shares.others_cpu or 0) > CROWDED:
        return Bound.FRONTEND
    if _below(shares.gpu, GPU_BUSY) or _below(shares.roofline, ROOFLINE_REACHED):
        return Bound.HOST
    return Bound.COMPUTE


def explain(shares: Shares) -> str:
    """The shares behind a diagnosis, in a line."""
    time = shares.worker_time
    told = [
        f"batches {shares.filled:.0%} full",
        f"workers {time[Bound.COMPUTE]:.0%} in the forward pass, {time[Bound.PREPROCESSING]:.0%} around it, "
        f"{time[Bound.FRONTEND]:.0%} waiting",
        f"requests {shares.outside:.0%} of their time outside of queue and workers",
    ]
    if shares.slowdown is not None:
        told.append(f"a batch takes {shares.slowdown:.2f} x the bare model's time")
    for name, share in (("others use", shares.others_cpu), ("GPU busy", shares.gpu)):
        if share is not None:
            told.append(f"{name} {share:.0%}{' of the cores' if name == 'others use' else ''}")
    if shares.roofline is not None:
        told.append(f"bare model at {shares.roofline:.0%} of the roofline")
    return "; ".join(told)


def shares_of(
    counted: Counted | None,
    *,
    workers: int,
    batch_size: int,
    client_latency_ms: float,
    cores: float,
    telemetry: Telemetry | None = None,
    bare_batch_ms: float | None = None,
    bare_over_roofline: float | None = None,
) -> Shares | None:
    """The shares of a trial; None where the handler keeps no tally, since then nobody knows its batches.

    `client_latency_ms` is the mean over the window's requests, `cores` all that this machine lets us use.
    """
    if counted is None or counted.batch_rows is None:
        return None
    assert counted.handle_ms is not None
    assert counted.forward_ms is not None
    assert counted.handling is not None
    gpu = telemetry.gpu_utilisation_percent if telemetry else None
    return Shares(
        filled=_share(counted.batch_rows, batch_size),
        outside=1 - _share(counted.latency_ms, client_latency_ms),
        handling=_share(counted.handling, workers),
        forward=_share(counted.forward_ms, counted.handle_ms),
        slowdown=counted.forward_ms / bare_batch_ms if bare_batch_ms else None,
        others_cpu=_others_cpu(telemetry.cpu_cores_used, cores) if telemetry else None,
        gpu=None if gpu is None else gpu / 100,
        roofline=bare_over_roofline,
    )


def _others_cpu(cores_used: Mapping[str, float | None], cores: float) -> float | None:
    used = [cores_used.get(FRONTEND)]
    if LOAD_GENERATOR in cores_used:  # a load from another node takes nothing here
        used.append(cores_used[LOAD_GENERATOR])
    known = [amount for amount in used if amount is not None]
    return _share(sum(known), cores) if len(known) == len(used) else None


def _share(part: float, whole: float) -> float:
    """Between 0 and 1: the edges of two clocks' windows can make a part larger than its whole."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0


def _below(share: float | None, limit: float) -> bool:
    return share is not None and share < limit
