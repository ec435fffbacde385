"""Profiles: how long batches take on each share of a GPU or of a CPU's cores, alone and side by side.

Here: what is measured, its files, and how. Not here: what is made of them.
"""

from experiments.profile.measure import Asked, profile
from experiments.profile.neighbours import Batch, Beside, Pair, read_beside, write_beside
from experiments.profile.points import Point, read_points, write_points
from experiments.profile.side_by_side import profile_side_by_side

__all__ = [
    "Asked",
    "Batch",
    "Beside",
    "Pair",
    "Point",
    "profile",
    "profile_side_by_side",
    "read_beside",
    "read_points",
    "write_beside",
    "write_points",
]
