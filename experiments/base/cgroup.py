"""The CPU quotas and memory limits of our cgroups: of a container, a pod of Kubernetes, a service of systemd.

Both versions of cgroups, and both at once. What lies above the root of a cgroup namespace can't be seen from
inside: a quota that the host holds against a group of containers stays unknown.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SELF = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Quota:
    """CPU time that the cgroup of `folder` may use, in cores: 0.5 is half a second a second."""

    folder: Path
    cores: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """How often a quota has stopped its cgroup since that was made: in how many periods, for how long.

    `stopped_s` adds up what each core lost, so it may grow faster than the clock.
    """

    periods: int
    stopped_periods: int
    stopped_s: float


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str  # what of the hierarchy is seen at `folder`
    folder: Path


def quotas(process: Path = SELF) -> list[Quota]:
    """Every quota that holds for a process, by its folder in /proc; each binds, so the smallest counts.

    Those of all the cgroups on the way up count, as far as they are mounted here. Empty where there is none,
    or where the kernel tells nothing.
    """
    found: dict[Path, Quota] = {}
    for folder in _folders(process, "cpu"):
        cores = _cores(folder)
        if cores is not None:
            found[folder] = Quota(folder, cores)
    return list(found.values())


def memory_left(process: Path = SELF) -> float:
    """Bytes that the memory limits of a process's cgroups still leave; infinite where there is none."""
    return min((_left(folder) for folder in _folders(process, "memory")), default=math.inf)


def parse_throttled(stat: str) -> Throttled | None:
    """What a cpu.stat says: microseconds in version 2 of cgroups, nanoseconds in 1. None: no quotas."""
    values = dict(line.split(maxsplit=1) for line in stat.splitlines() if " " in line)
    with suppress(KeyError, ValueError):
        micro, nano = values.get("throttled_usec"), values.get("throttled_time")
        stopped_s = int(micro) / 1e6 if micro is not None else int(nano or "unknown") / 1e9
        return Throttled(int(values["nr_periods"]), int(values["nr_throttled"]), stopped_s)
    return None


def _left(folder: Path) -> float:
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        with suppress(OSError, ValueError):  # `max`: no limit
            return int((folder / limit).read_text("ascii")) - int((folder / used).read_text("ascii"))
    return math.inf


def _cores(folder: Path) -> float | None:
    """The quota of one cgroup; None where it has none (`max`, -1) or is not there."""
    with suppress(OSError, ValueError):
        quota_us, period_us = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota_us) / int(period_us)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us, period_us = (
            (folder / name).read_text(encoding="ascii") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        )
        return int(quota_us) / int(period_us) if int(quota_us) > 0 else None
    return None


def _folders(process: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's cgroups, from its own up to what is mounted, in both versions."""
    try:
        memberships = (process / "cgroup").read_text(errors="surrogateescape", encoding="utf-8").splitlines()
        mounts = (process / "mountinfo").read_text(errors="surrogateescape", encoding="utf-8").splitlines()
    except OSError:
        return
    for membership in memberships:
        number, controllers, path = membership.split(":", 2)
        version_2 = number == "0" and not controllers
        if not version_2 and controller not in controllers.split(","):
            continue
        for place, mount in enumerate(_mounts(mounts, None if version_2 else controller)):
            below = _below(path, mount.root)
            if below is None:
                if place:  # somebody else's cgroup, mounted here too
                    continue
                below = ""  # a container that sees the host's names: its own cgroup is what is mounted
            folder = mount.folder / below
            yield from (folder, *(each for each in folder.parents if each.is_relative_to(mount.folder)))


def _mounts(lines: list[str], controller: str | None) -> Iterator[_Mount]:
    """Where a controller of version 1 is mounted; None: version 2, which has all of them at one place."""
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" if controller is None else controller in options.split(",") and kind == "cgroup":
            _, _, _, root, folder, *_ = before.split(" ")
            yield _Mount(_unescaped(root), Path(_unescaped(folder)))


def _below(path: str, root: str) -> str | None:
    """The path relative to the root of a mount; None where it does not lie below it."""
    if ".." in Path(path).parts or not Path(path).is_relative_to(root):
        return None
    return str(Path(path).relative_to(root))


def _unescaped(path: str) -> str:
    """A path of mountinfo, in which blanks, tabs, line ends and backslashes are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
