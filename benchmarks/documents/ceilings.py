"""What serving could reach: the bare model by batch size, the roofline, and the documents' own ceilings."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.ceilings.bare import bare_model
from experiments.load import Body
from experiments.results.roofline import Peaks, roofline
from experiments.together.asked import Asked
from experiments.verdict.published import FOLDER


@dataclass(frozen=True, slots=True)
class Ceiling:
    """At one batch size: what the forward pass alone does in as many processes as there are workers, and the
    most that this machine could do (2 operations a multiply-accumulate, peaks measured here)."""

    batch_size: int
    bare_rps: float
    roofline_rps: float
    bound: str


def ceilings(
    one: Asked, batch_sizes: Sequence[int], workers: int, threads: int, duration_s: float
) -> list[Ceiling]:
    """Those of a model, in its archive's own precision. Raises BareModelError."""
    pool = [_body(each) for each in one.inputs]
    with bare_model(one.archive, processes=workers, threads=threads, pool=pool) as model:
        work = model.work()
        flops = model.flops(work.precision or "fp32", duration_s)
        peaks = Peaks(flops, model.bytes_per_s(duration_s), "measured")
        found = []
        for size in batch_sizes:
            bare_rps = model.throughput(size, duration_s).throughput_rps
            limit = roofline(work, size, peaks)
            found.append(Ceiling(size, bare_rps, limit.throughput_rps, limit.bound))
        return found


def printed() -> pd.DataFrame:
    """The LitServe document's ceilings in requests/s, as printed and with 2 operations for each
    multiply-accumulate: P / F of its own peak and its model's work."""
    frame = pd.read_csv(FOLDER / "litserve_ceilings.csv", comment="#")
    return frame.assign(corrected_rps=frame["peak_tflops"] * 1e12 / (frame["gflop"] * 1e9))


def _body(one: str | bytes) -> Body:
    if isinstance(one, bytes):
        return Body(one, "image/jpeg")
    return Body(one.encode(), "text/plain; charset=utf-8")
