"""The sampler beside real processes: what it sees, how it ends, that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from experiments.base.paths import ROOT
from experiments.results.telemetry import Telemetry
from experiments.watch import telemetry
from tests import stand_ins
from tests.stand_ins import UUID, a_card, change
from tests.support.cgroups import a_quota

pytestmark = pytest.mark.integration

# Without a bound on its cost: a slow machine with a stand-in card makes the sampler seldom.
sampling = partial(telemetry.sampling, most_cpu_cores=1.0)

BUSY = "while True: pass"
IDLE = "import sys; sys.stdin.read()"
PARENT_OF_BUSY = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


@contextmanager
def a_process(code: str) -> Iterator[int]:
    """The pid of a Python program that runs `code`, killed at the end with its children."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else []:
                child.kill()
            process.kill()


def samplers(parent: int | None = None) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(parent).children() if "experiments.watch.sampler" in child.cmdline()
    ]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def spend(seconds: float = 0.5) -> tuple[float, float]:
    """A load that is none; returns its measured window."""
    begin_s = time.monotonic()
    time.sleep(seconds)
    return begin_s, time.monotonic()


def test_who_was_busy_and_who_was_not() -> None:
    with a_process(BUSY) as busy, a_process(IDLE) as idle:
        groups = {"workers": [busy], "frontend": [idle], "load_generator": [os.getpid()]}
        with sampling(groups) as recorder:
            window = spend()
        found = recorder.summary(1000, window)
    used = found.cpu_cores_used
    assert used.keys() == groups.keys()
    assert used["workers"] is not None
    assert used["frontend"] is not None
    assert used["workers"] > used["frontend"]
    assert all(size and size > 2**20 for size in found.rss_bytes.values())
    assert found.sampler_cpu_cores is not None
    assert found.samples >= 2
    assert found.problems == ()
    assert found.gpu_memory_bytes_total is None


UNDER_A_QUOTA = """
import os, sys, time
from experiments.watch.telemetry import sampling
with open(sys.argv[1], "w") as procs:
    procs.write(str(os.getpid()))
with sampling({"workers": [os.getpid()]}) as recorder:
    begin_s = time.monotonic()
    while time.monotonic() < begin_s + 2:
        pass
    end_s = time.monotonic()
found = recorder.summary(1000, (begin_s, end_s))
print(found.quota_periods, found.quota_stopped_periods, found.quota_stopped_s)
"""


def test_a_real_cpu_quota_that_is_used_up_is_seen() -> None:
    """A small quota: used up in every period, even where busy neighbours leave little more than that."""
    with a_quota(0.1) as procs:
        command = [sys.executable, "-c", UNDER_A_QUOTA, str(procs)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    periods, stopped, stopped_s = map(float, done.stdout.split())
    assert 0 < stopped <= periods
    assert stopped_s > 0


def test_children_count_for_workers_and_for_nobody_else() -> None:
    with a_process(PARENT_OF_BUSY) as worker, a_process(PARENT_OF_BUSY) as other:
        wait_until(lambda: all(psutil.Process(pid).children() for pid in (worker, other)))
        with sampling({"workers": [worker], "frontend": [other], "self": [os.getpid()]}) as recorder:
            window = spend()
        used = recorder.summary(1000, window).cpu_cores_used
    assert used["workers"] is not None
    assert used["frontend"] is not None
    assert used["workers"] > 10 * used["frontend"]


def test_a_listed_process_never_counts_for_its_parent() -> None:
    """As the frontend is the parent of the workers."""
    with a_process(PARENT_OF_BUSY) as frontend:
        wait_until(lambda: bool(psutil.Process(frontend).children()))
        (worker,) = psutil.Process(frontend).children()
        both = ("workers", "frontend")
        with sampling({"frontend": [frontend], "workers": [worker.pid]}, with_children=both) as recorder:
            window = spend()
        used = recorder.summary(1000, window).cpu_cores_used
    assert used["workers"] is not None
    assert used["frontend"] is not None
    assert used["workers"] > 10 * used["frontend"]


def test_a_process_that_ends_is_named_and_the_others_go_on() -> None:
    with a_process(BUSY) as worker, a_process(IDLE) as frontend:
        with sampling({"workers": [worker], "frontend": [frontend]}) as recorder:
            begin_s, _ = spend(0.3)
            psutil.Process(worker).kill()
            _, end_s = spend(0.7)
        found = recorder.summary(1000, (begin_s, end_s))
    assert found.cpu_cores_used["workers"] is None
    assert found.cpu_cores_used["frontend"] is not None
    assert found.problems == (f"process {worker} (workers) ended while it was measured",)


def test_a_process_that_was_never_there() -> None:
    with a_process(IDLE) as gone:
        pass
    with sampling({"workers": [gone]}) as recorder:
        window = spend()
    found = recorder.summary(1000, window)
    assert found.cpu_cores_used == {"workers": None}
    assert found.problems == (f"process {gone} (workers) ended while it was measured",)


def test_the_sampler_is_gone_afterwards_with_its_open_files() -> None:
    before = psutil.Process().num_fds()
    for _ in range(5):
        with sampling({"self": [os.getpid()]}):
            assert len(samplers()) == 1
        assert samplers() == []
    assert psutil.Process().num_fds() == before


def test_an_error_inside_passes_and_the_sampler_ends() -> None:
    with pytest.raises(ZeroDivisionError), sampling({"self": [os.getpid()]}):
        raise ZeroDivisionError
    assert samplers() == []


def test_a_sampler_that_is_killed_costs_the_figures_and_not_the_trial() -> None:
    with sampling({"self": [os.getpid()]}) as recorder:
        (sampler,) = samplers()
        sampler.kill()
        window = spend()
    assert recorder.summary(1000, window) == Telemetry(
        problems=("the telemetry sampler was killed by SIGKILL",)
    )


def test_a_sampler_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.watch.telemetry.STOP_TIMEOUT_S", 0.2)
    with sampling({"self": [os.getpid()]}) as recorder:
        (sampler,) = samplers()
        sampler.suspend()
        window = spend()
    wait_until(lambda: not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE)
    (problem,) = recorder.summary(1000, window).problems
    assert problem.endswith("was killed")


def test_ctrl_c_is_not_for_the_sampler() -> None:
    with sampling({"self": [os.getpid()]}) as recorder:
        (sampler,) = samplers()
        assert os.getpgid(sampler.pid) != os.getpgid(0)
        sampler.send_signal(signal.SIGINT)
        window = spend()
    assert recorder.summary(1000, window).problems == ()


def test_the_sampler_ends_when_who_started_it_is_killed() -> None:
    code = """
import os, sys, time
from experiments.watch.telemetry import sampling
with sampling({"self": [os.getpid()]}):
    print("sampling", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"sampling\n"
        (sampler,) = samplers(parent.pid)
        parent.kill()
    wait_until(lambda: not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE)


def test_a_machine_that_can_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with sampling({"self": [os.getpid()]}) as recorder:
        pass
    assert recorder.summary(1000).problems == (
        "the telemetry sampler can't be started: No such file or directory",
    )


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stand-in GPU that the sampler's NVML tells of."""
    monkeypatch.setenv(stand_ins.VARIABLE, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(stand_ins.FOLDER))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return a_card(tmp_path)


def test_the_card_through_a_stand_in_nvml(card: Path) -> None:
    with a_process(IDLE) as worker:
        change(card, mps_processes=[[worker, 3 * 2**30], [1, 30 * 2**20]], throttle_reasons=0x1 | 0x4)
        with sampling({"workers": [worker]}, UUID) as recorder:
            window = spend()
        found = recorder.summary(1000, window)
    assert found.gpu_memory_bytes_by_worker == {str(worker): 3 * 2**30}
    assert found.gpu_memory_bytes_total == 625_344_512
    assert found.gpu_utilisation_percent == 37
    assert (found.sm_clock_mhz_min, found.sm_clock_mhz_mean) == (1980, 1980)
    assert found.temperature_c == 31
    assert found.throttle_reasons == ("power cap",)
    # The stand-in's energy counter stands still, and no GPU draws nothing.
    assert found.energy_j is None
    assert found.problems == ("the GPU's energy counter stands still or is not there all along",)


def test_a_driver_that_fails_leaves_the_processes(card: Path) -> None:
    change(card, init_error=9)
    with a_process(IDLE) as worker:
        with sampling({"workers": [worker]}, UUID) as recorder:
            window = spend()
        found = recorder.summary(1000, window)
    assert found.cpu_cores_used["workers"] is not None
    assert found.gpu_memory_bytes_total is None
    assert found.problems[0].startswith("no GPU telemetry: NVIDIA's driver is not loaded")


def test_a_card_that_is_lost_on_the_way(card: Path) -> None:
    with a_process(IDLE) as worker:
        with sampling({"workers": [worker]}, UUID) as recorder:
            begin_s, _ = spend()
            change(card, init_error=15)
            _, end_s = spend()
        found = recorder.summary(1000, (begin_s, end_s))
    assert found.cpu_cores_used["workers"] is not None
    assert found.gpu_utilisation_percent is None
    assert found.problems[0].startswith("no GPU telemetry from here on: ")
