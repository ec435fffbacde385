"""What this machine can do: each thing that a run needs, looked at and judged. Changes nothing."""

from experiments.checks.checks import FAIL, OK, WARN, Check, examine, first_obstacle
from experiments.checks.for_plan import card_for
from experiments.checks.measured_on import choose

__all__ = ["FAIL", "OK", "WARN", "Check", "card_for", "choose", "examine", "first_obstacle"]
