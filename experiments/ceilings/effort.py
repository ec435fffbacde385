"""How long measuring ceilings may take, and which of a plan's batch sizes that covers."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.plan import Plan
from experiments.plan.servers import TORCHSERVE

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
# What a prediction takes, on 2 cores with a small model: an estimate, to choose by.
PREDICTION_S = 110.0
LOADING_S = 8.0  # processes with the model, or a TorchServe
BATCH_SIZE_S = 3.0  # the bare model alone and with the handler's work, each after its warm-up
EMPTY_SIZE_S = 3.0  # with the archive's registration
FEWEST_SIZES = 2  # tell a line


@dataclass(frozen=True, slots=True)
class Effort:
    """How long measuring may take. Of `windows` windows the median counts, of a peak's the best.

    Batch sizes beyond the plan's are left out where a batch would take longer than `longest_batch_s`. Of the
    plan's own `most_sizes` at most are measured, spread over them; None: all. `handled_s` 0 leaves out the
    handler's work around its pass, `peak_s` 0 the device's peaks. The empty handler gets as many requests in
    flight as the plan says, or with `full_queue` so many that its batches are always full.
    """

    windows: int = 3
    bare_s: float = 1.0
    handled_s: float = 1.0
    peak_s: float = 0.3
    empty_s: float = 1.0
    warm_up_s: float = 0.5
    longest_batch_s: float = 2.0
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    most_sizes: int | None = None
    full_queue: bool = False

    def sizes_of(self, plan: Plan) -> tuple[int, ...]:
        """Those of the plan's batch sizes that are measured, ascending."""
        return spread_over(sorted(set(plan.batch_size)), self.most_sizes)


def for_prediction(plan: Plan) -> Effort:
    """Enough to predict from, in under two minutes where the plan's settings allow it: as many batch sizes as
    fit, two of them at least."""
    settings = len({cell.started_with for cell in plan.cells() if cell.server == TORCHSERVE}) or 1
    servers = len(set(plan.workers)) if TORCHSERVE in plan.server else 0
    loading_s = LOADING_S * (settings + servers)
    each_s = BATCH_SIZE_S * settings + EMPTY_SIZE_S * servers
    sizes = max(FEWEST_SIZES, int((PREDICTION_S - loading_s) / each_s))
    return Effort(windows=1, peak_s=0.0, batch_sizes=(), most_sizes=sizes, full_queue=True)


def spread_over(values: Sequence[int], most: int | None) -> tuple[int, ...]:
    """At most so many of the ascending values: the first, the last, and those between by rank."""
    if most is None or len(values) <= most:
        return tuple(values)
    if most < 2:
        return tuple(values[-1:])
    step = (len(values) - 1) / (most - 1)
    return tuple(values[round(index * step)] for index in range(most))
