"""How long a batch takes, by model, part and batch size: measured points, and what lies between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.base.errors import UsageError

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One point of a profile: `processes` copies of a model share a part of `size`, each works on batches of
    `batch`, which take `latency_ms`."""

    model: str
    size: int
    batch: int
    latency_ms: float
    processes: int = 1


class LatencyTable:
    """Measured latencies. Between two measured batch sizes a latency is taken from the straight line between
    them; beyond the smallest and the largest, and on sizes that weren't measured, there is none. `served`
    are the handler's settings that each model was measured with, its engine and precision, as far as known.
    """

    def __init__(
        self, points: Iterable[Measured], served: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.served = dict(served or {})
        self._points: dict[tuple[str, int, int], dict[int, float]] = {}
        for point in points:
            if point.batch < 1 or not 0 < point.latency_ms < float("inf"):
                raise UsageError(
                    f"{point.model}: a batch of {point.batch} in {point.latency_ms:g} ms was never measured"
                )
            batches = self._points.setdefault((point.model, point.size, point.processes), {})
            if batches.setdefault(point.batch, point.latency_ms) != point.latency_ms:
                raise UsageError(
                    f"{point.model}, batch {point.batch}, size {point.size}: two latencies, "
                    f"{batches[point.batch]:g} and {point.latency_ms:g} ms: leave one"
                )
        self._curves = {key: _curve(batches) for key, batches in self._points.items()}

    def models(self) -> list[str]:
        """The models that were measured, sorted."""
        return sorted({model for model, _, _ in self._points})

    def sizes(self, model: str) -> list[int]:
        """The sizes that a model was measured on, ascending."""
        return sorted({size for name, size, _ in self._points if name == model})

    def only(self, sizes: Iterable[int]) -> "LatencyTable":
        """What was measured on these sizes."""
        kept = set(sizes)
        return LatencyTable(
            (
                Measured(model, size, batch, latency_ms, processes)
                for (model, size, processes), batches in self._points.items()
                if size in kept
                for batch, latency_ms in batches.items()
            ),
            self.served,
        )

    def curve(self, model: str, size: int, processes: int = 1) -> Curve:
        """Latency in ms by batch size, from index 1 on; infinite where there is none, index 0 too.

        Empty but for index 0 where the model wasn't measured so.
        """
        return self._curves.get((model, size, processes), _NOTHING)

    def interpolated(self, model: str, size: int, batch: int, processes: int = 1) -> bool:
        """Whether a latency lies between measured ones, and was not measured itself."""
        measured = self._points.get((model, size, processes), {})
        return batch not in measured and bool(measured) and min(measured) < batch < max(measured)


_NOTHING = np.array([np.inf])


def _curve(batches: Mapping[int, float]) -> Curve:
    known = sorted(batches)
    curve = np.full(known[-1] + 1, np.inf)
    between = np.arange(known[0], known[-1] + 1)
    curve[known[0] :] = np.interp(between, known, [batches[batch] for batch in known])
    return curve
