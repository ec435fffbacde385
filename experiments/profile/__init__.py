"""Profiles: how long a model's batches take on each share of a GPU, or of a CPU's cores.

Here: the points and their file, and how they are measured. Not here: what is made of them.
"""

from experiments.profile.measure import Asked, profile
from experiments.profile.points import Point, read_points, write_points

__all__ = ["Asked", "Point", "profile", "read_points", "write_points"]
