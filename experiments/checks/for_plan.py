"""The card that a plan is measured on, everything in place for it."""

from experiments.base.errors import UsageError
from experiments.checks.checks import first_obstacle
from experiments.checks.measured_on import choose, faster_precision
from experiments.plan import Plan
from experiments.serving.arms import MpsOptions
from mps.card import Gpu


def card_for(plan: Plan, device: str | None, which: str | None, mps: MpsOptions) -> tuple[Gpu | None, str]:
    """The GPU to measure a plan on, None for the CPU, and a line about it. See `choose`.

    Raises UsageError too where MPS is asked for and something is in its way.
    """
    if plan.with_mps and device == "cpu":
        raise UsageError("--with-mps needs a GPU: leave out --device cpu")
    if plan.with_mps and (obstacle := first_obstacle(max(plan.workers), mps, which, plan.limits)):
        raise UsageError(f"{obstacle} (`python -m mps.doctor` tells more)")
    card, line = choose(device, which)
    return card, "\n".join([line, *faster_precision(card, plan.precision)])
