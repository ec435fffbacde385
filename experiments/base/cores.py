"""The cores that we may use."""

import os
from pathlib import Path

from experiments.base.cgroup import SELF, quotas


def usable_cores(process: Path = SELF) -> int:
    """How many threads can work all the time: the whole cores of `core_limit`, at least 1.

    One thread more than a quota pays for would be stopped in every period, and the others wait for it.
    """
    return max(1, int(core_limit(process)))


def core_limit(process: Path = SELF) -> float:
    """The cores that this process may keep busy, a part of one too: the allowed ones, or a quota."""
    return min([float(allowed_cores()), *(quota.cores for quota in quotas(process))])


def core_quota(process: Path = SELF) -> float | None:
    """The smallest CPU quota of our cgroups, where it leaves less than the allowed cores; else None."""
    limit = core_limit(process)
    return limit if limit < allowed_cores() else None


def allowed_cores() -> int:
    """The cores this process may run on, by taskset or a container's cpuset, whatever a quota says."""
    return len(os.sched_getaffinity(0))
