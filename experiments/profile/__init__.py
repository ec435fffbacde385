"""Profiles: how long a model's batches take on each share of a GPU, or of a CPU's cores.

Here: the points and their file, and how they are measured. Not here: what is made of them.
"""

from experiments.profile.measure import Asked, profile
from experiments.profile.pairs import Pair, profile_pairs, write_pairs
from experiments.profile.points import Point, read_points, write_points

__all__ = [
    "Asked",
    "Pair",
    "Point",
    "profile",
    "profile_pairs",
    "read_points",
    "write_pairs",
    "write_points",
]
