"""The cores that we may use."""

import os


def usable_cores() -> int:
    """The cores this process may run on: what containers and taskset leave of the machine's."""
    return len(os.sched_getaffinity(0))
