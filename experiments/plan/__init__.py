"""What was asked for: plans, their cells, loads and trials, latency bounds, goals. Pure, quick to import.

Nothing here touches a server, a clock or a disk, but for reading a plan's YAML file.
"""

from experiments.plan.cell import DEFAULT_DELAY_MS, LIMITS, Cell, full_queue, limits_told
from experiments.plan.goal import Bound, Goal, goal_from
from experiments.plan.keys import plan_from
from experiments.plan.plan import Plan
from experiments.plan.plan_file import settings_in
from experiments.plan.slo import Slo, parse_slo
from experiments.plan.trial import Load, Trial, estimated_s, search_takes_s

__all__ = [
    "DEFAULT_DELAY_MS",
    "LIMITS",
    "Bound",
    "Cell",
    "Goal",
    "Load",
    "Plan",
    "Slo",
    "Trial",
    "estimated_s",
    "full_queue",
    "goal_from",
    "limits_told",
    "parse_slo",
    "plan_from",
    "search_takes_s",
    "settings_in",
]
