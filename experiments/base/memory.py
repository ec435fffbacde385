"""The memory that is free for us."""

import psutil

from experiments.base.cgroup import memory_left


def free_memory_bytes() -> float:
    """What the machine has left or, where that is less, what the limits of our cgroups leave."""
    return min(psutil.virtual_memory().available, memory_left())
