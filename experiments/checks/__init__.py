"""What this machine can do: each thing that a run needs, looked at and judged. Changes nothing."""

from experiments.checks.checks import FAIL, OK, WARN, Check, examine, first_obstacle
from experiments.checks.measured_on import choose, faster_precision

__all__ = ["FAIL", "OK", "WARN", "Check", "choose", "examine", "faster_precision", "first_obstacle"]
