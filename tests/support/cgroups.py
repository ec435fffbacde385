"""A real CPU quota, where this machine lets us make one: as root, with version 1 or 2 of cgroups."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MOUNTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


@contextmanager
def a_quota(cores: float) -> Iterator[Path]:
    """The cgroup.procs of a cgroup inside one of `cores`; skips the test where none can be made."""
    outer = next(mount for mount in MOUNTS if mount.is_dir()) / f"torchserve-mps-test-{os.getpid()}"
    inner = outer / "inside"
    quota_us = int(cores * 100_000)
    try:
        try:
            inner.mkdir(parents=True)
            if (outer / "cpu.cfs_quota_us").exists():
                (outer / "cpu.cfs_quota_us").write_text(f"{quota_us}")
            else:
                (outer / "cpu.max").write_text(f"{quota_us} 100000")
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error}")
        yield inner / "cgroup.procs"
    finally:
        for each in (inner, outer):
            with suppress(OSError):
                each.rmdir()
