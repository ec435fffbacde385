"""Rates that change: a placement for each period of a trace, few GPUs first and then few moves.

Here: traces, what a move is, the placement that follows the one before, how it compares with placing anew
and with holding the peak's. Not here: how one period is placed by itself (strategies/), how parts are made on
a GPU.
"""

from experiments.placement.periods.compared import MAKE_PART_S, Crossed, Making, compare, cross
from experiments.placement.periods.files import write_periods
from experiments.placement.periods.following import Course, courses
from experiments.placement.periods.shown import tables
from experiments.placement.periods.trace import Period, read_trace

__all__ = [
    "MAKE_PART_S",
    "Course",
    "Crossed",
    "Making",
    "Period",
    "compare",
    "courses",
    "cross",
    "read_trace",
    "tables",
    "write_periods",
]
