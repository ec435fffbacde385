"""How many cores we may use, where a container or a service has a CPU quota."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base import cores
from experiments.base.cgroup import Throttled, memory_left, parse_throttled, quotas
from experiments.base.cores import core_limit, core_quota, usable_cores
from experiments.base.paths import ROOT
from tests.support.cgroups import a_quota


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed_cores", lambda: 8)


def a_process(path: Path, cgroup: str, *mounts: str) -> Path:
    """A stand-in for /proc/self: its cgroups, and mounts as `root folder type options`."""
    path.mkdir(exist_ok=True)
    (path / "cgroup").write_text(cgroup)
    lines = []
    for mount in mounts:
        root, folder, kind, options = mount.split(" ")
        lines.append(f"32 31 0:29 {root} {folder} rw,relatime master:1 - {kind} cgroup {options}\n")
    (path / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "".join(lines))
    return path


def v2(folder: Path, cpu_max: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{cpu_max}\n")


def v1(folder: Path, quota_us: int, period_us: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period_us}\n")


def test_docker_run_cpus_half_a_core_in_a_cgroup_namespace(tmp_path: Path) -> None:
    v2(tmp_path / "fs", "50000 100000")
    process = a_process(tmp_path / "self", "0::/\n", f"/ {tmp_path}/fs cgroup2 rw")
    assert core_limit(process) == core_quota(process) == 0.5
    assert usable_cores(process) == 1


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """A pod of 2.5 cores whose container may use 4, on a host where the root of all has no cpu.max."""
    v2(tmp_path / "fs/kubepods.slice/pod", "250000 100000")
    v2(tmp_path / "fs/kubepods.slice", "max 100000")
    v2(tmp_path / "fs/kubepods.slice/pod/container", "200000 50000")
    v2(tmp_path / "fs/kubepods.slice/neighbour", "1000 100000")
    process = a_process(
        tmp_path / "self", "0::/kubepods.slice/pod/container\n", f"/ {tmp_path}/fs cgroup2 rw,nsdelegate"
    )
    assert core_limit(process) == 2.5
    assert usable_cores(process) == 2
    assert [quota.cores for quota in quotas(process)] == [4.0, 2.5]


def test_version_1_by_its_path_beside_an_empty_version_2(tmp_path: Path) -> None:
    v1(tmp_path / "cpu/system.slice/torchserve.service", 150_000)
    v1(tmp_path / "cpu/system.slice", -1)
    (tmp_path / "unified").mkdir()
    cgroup = "5:memory:/other\n4:cpu,cpuacct:/system.slice/torchserve.service\n3:cpuset:/\n0::/\n"
    process = a_process(
        tmp_path / "self",
        cgroup,
        f"/ {tmp_path}/cpuset cgroup rw,cpuset",
        f"/ {tmp_path}/cpu cgroup rw,cpu,cpuacct",
        f"/ {tmp_path}/unified cgroup2 rw",
    )
    assert core_limit(process) == 1.5
    assert usable_cores(process) == 1


@pytest.mark.parametrize("root", ["/docker/abc", "/", "/kind/docker/abc"])
def test_version_1_in_a_container_that_reads_the_hosts_path(tmp_path: Path, root: str) -> None:
    """Docker mounts the container's cgroup at the usual place, while /proc tells its path on the host."""
    v1(tmp_path / "cpu", 300_000)
    process = a_process(tmp_path / "self", "4:cpu:/docker/abc\n", f"{root} {tmp_path}/cpu cgroup rw,cpu")
    assert usable_cores(process) == 3


def test_a_cgroup_of_others_that_is_mounted_too_does_not_count(tmp_path: Path) -> None:
    v2(tmp_path / "fs", "max 100000")
    v2(tmp_path / "elsewhere", "10000 100000")
    process = a_process(
        tmp_path / "self",
        "0::/mine\n",
        f"/mine {tmp_path}/fs cgroup2 rw",
        f"/docker/theirs {tmp_path}/elsewhere cgroup2 rw",
    )
    assert core_quota(process) is None


def test_a_mount_point_with_a_blank(tmp_path: Path) -> None:
    v2(tmp_path / "c groups", "100000 100000")
    process = a_process(tmp_path / "self", "0::/\n", rf"/ {tmp_path}/c\040groups cgroup2 rw")
    assert core_limit(process) == 1


@pytest.mark.parametrize("cpu_max", ["max 100000", "800000 100000", "6400000 100000", "", "what ever"])
def test_no_quota_or_more_than_there_is_leaves_all_cores(tmp_path: Path, cpu_max: str) -> None:
    v2(tmp_path / "fs", cpu_max)
    process = a_process(tmp_path / "self", "0::/\n", f"/ {tmp_path}/fs cgroup2 rw")
    assert usable_cores(process) == core_limit(process) == 8
    assert core_quota(process) is None


def test_where_the_kernel_tells_nothing_there_is_no_quota(tmp_path: Path) -> None:
    assert quotas(tmp_path / "not there") == []
    assert quotas(a_process(tmp_path / "self", "0::/gone/long/ago\n", f"/ {tmp_path}/fs cgroup2 rw")) == []
    assert quotas(a_process(tmp_path / "self", "0::/\n")) == []


def test_how_often_a_quota_stopped_its_cgroup_in_both_versions() -> None:
    version_2 = (
        "usage_usec 9\nuser_usec 5\nnr_periods 40\nnr_throttled 12\nthrottled_usec 500000\nnr_bursts 0\n"
    )
    version_1 = "nr_periods 40\nnr_throttled 12\nthrottled_time 500000000\n"
    assert parse_throttled(version_2) == parse_throttled(version_1) == Throttled(40, 12, 0.5)
    assert parse_throttled("usage_usec 9\nuser_usec 5\n") is None  # the root of version 2
    assert parse_throttled("") is None


def test_the_memory_that_the_tightest_limit_leaves(tmp_path: Path) -> None:
    for folder, most, now in (("fs", "max", 9000), ("fs/pod", "5000", 4500), ("fs/pod/inside", "2000", 100)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "memory.max").write_text(f"{most}\n")
        (tmp_path / folder / "memory.current").write_text(f"{now}\n")
    process = a_process(tmp_path / "self", "0::/pod/inside\n", f"/ {tmp_path}/fs cgroup2 rw")
    assert memory_left(process) == 500
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("300")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("100")
    version_1 = a_process(tmp_path / "self", "3:memory:/docker/a\n", f"/ {tmp_path}/memory cgroup rw,memory")
    assert memory_left(version_1) == 200
    assert memory_left(tmp_path / "nobody") == float("inf")


def test_a_real_quota() -> None:
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "from experiments.base.cores import core_limit, usable_cores\n"
        "print(core_limit(), usable_cores())"
    )
    with a_quota(0.5) as procs:
        command = [sys.executable, "-c", code, str(procs)]
        told = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout
    assert told == "0.5 1\n"
