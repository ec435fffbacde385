"""What the doctor finds on machines of all kinds, made of stand-ins."""

import json
import os
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pynvml
import pytest
from typer.testing import CliRunner

from experiments.base import torch_build
from experiments.base.errors import ExperimentError, UsageError
from experiments.checks import checks, choose
from experiments.checks.checks import FAIL, OK, WARN, Check, examine, first_obstacle
from experiments.checks.measured_on import faster_precision
from experiments.serving.arms import MpsOptions
from mps import doctor
from mps.card import NoGpuError, device, limits
from mps.control import PIPE_VARIABLE, RunningDaemon
from tests import stand_ins
from tests.stand_ins import NVIDIA_SMI, UUID, a_card, change
from tests.stand_ins import pynvml as stand_in_pynvml

CUDA_TORCH = (
    "__version__ = '2.13.0'\ndebug = False\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
)
CPU_TORCH = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n"


def a_program(path: Path, script: str = "exit 0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def a_torch(folder: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "version.py").write_text(told)
    spec = ModuleSpec("torch", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(torch_build, "find_spec", lambda name: spec)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which `--with-mps` can run: an idle H200, its driver and tools, the archives."""
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(stand_ins.VARIABLE, str(a_card(tmp_path / "card", utilisation_percent=0)))
    monkeypatch.setattr(limits, "FIRST_PID_NAMESPACE", limits.PID_NAMESPACE.readlink())
    monkeypatch.setenv(PIPE_VARIABLE, str(tmp_path / "no daemon"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    a_program(tmp_path / "bin/nvidia-cuda-mps-control", 'echo "Binary version: 13010"')
    a_program(tmp_path / "bin/nvidia-cuda-mps-server")
    (tmp_path / "bin/nvidia-smi").symlink_to(NVIDIA_SMI)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    (tmp_path / "model_store").mkdir()
    for model in ("bert", "resnet50"):
        (tmp_path / "model_store" / f"{model}.mar").write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip
    a_torch(tmp_path / "torch", monkeypatch, CUDA_TORCH)
    monkeypatch.setattr(checks, "find_java", lambda: Path("/usr/bin/java"))  # a second saved
    monkeypatch.setattr(checks, "major_version", lambda java: 17)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def failures() -> list[Check]:
    return [check for check in examine() if check.status == FAIL]


def the(name: str) -> Check:
    """The last check of that name."""
    return [check for check in examine() if check.name == name][-1]


def test_a_machine_with_everything() -> None:
    found = {check.name: check for check in examine()}
    assert all(
        check.status == OK for check in found.values() if check.name not in ("ports", "memory", "disk")
    )
    assert found["driver"].found == "580.159.04"
    assert found["GPU 0"].found.startswith("NVIDIA H200, 140.4 GiB, 132 multiprocessors")
    assert found["GPU 0"].found.endswith("compute mode DEFAULT, MIG off")
    assert found["MPS"].found == "up to 48 workers on GPU 0, which nobody else uses"
    assert found["control daemon"].found.endswith("/nvidia-cuda-mps-control, of CUDA 13.1")
    assert found["torch"].found == "2.13.0, built for CUDA 13.0"
    assert first_obstacle() is None


@pytest.mark.parametrize(
    ("facts", "said", "remedy"),
    [
        ({"mig": [1, 1]}, "MIG is on", f"`nvidia-smi -i {UUID} -mig 0` turns it off"),
        ({"compute_mode": 2}, "in compute mode PROHIBITED", f"`nvidia-smi -i {UUID} -c DEFAULT`"),
        ({"compute_mode": 3}, "in compute mode EXCLUSIVE_PROCESS", f"`nvidia-smi -i {UUID} -c DEFAULT`"),
    ],
)
def test_a_card_on_which_mps_cannot_run(
    machine: Path, facts: dict[str, object], said: str, remedy: str
) -> None:
    change(machine / "card", **facts)
    (failure,) = failures()
    assert failure.name == "MPS"
    assert said in failure.found
    assert remedy in failure.remedy
    assert said in (first_obstacle() or "")


def test_a_card_for_which_there_is_neither_mps_nor_a_torch(machine: Path) -> None:
    change(machine / "card", compute_capability=[3, 0])
    mps, torch = failures()
    assert (mps.name, torch.name) == ("MPS", "torch")
    assert "has no MPS" in mps.found
    assert "that needs compute capability 3.5" in mps.remedy
    assert "torch for CUDA 13.0 has no kernels for NVIDIA H200" in torch.found
    assert "has no MPS" in (first_obstacle() or "")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"driver": "535.261.03", "driver_cuda": 12_020}, "driver 535.261.03 goes up to CUDA 12.2"),
        ({"compute_capability": [7, 0]}, "has no kernels for NVIDIA H200 (compute capability 7.0)"),
    ],
)
def test_a_torch_that_does_not_fit_driver_or_card(machine: Path, facts: dict[str, object], said: str) -> None:
    change(machine / "card", **facts)
    (failure,) = failures()
    assert failure.name == "torch"
    assert said in failure.found
    assert "`make setup TORCH=cu126`" in failure.remedy
    assert said in (first_obstacle() or "")
    with pytest.raises(UsageError, match=r"make setup TORCH=cu126.*--device cpu"):
        choose()


def test_a_torch_for_cpus_beside_a_gpu(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_torch(machine / "torch", monkeypatch, CPU_TORCH)
    monkeypatch.setattr(stand_in_pynvml, "STAND_IN", False)
    with pytest.raises(UsageError, match=r"2.13.0.cpu is built without CUDA, .*`make setup TORCH=default`"):
        choose()


def test_what_is_measured_on_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    card, line = choose()
    assert card is not None
    assert line == "NVIDIA H200 (GPU 0, driver 580.159.04, torch 2.13.0 for CUDA 13.0)"
    assert the("measuring on").found == line
    (hint,) = faster_precision(card, (None,))
    assert "--precision fp16" in hint
    assert faster_precision(card, ("fp16", "fp32")) == faster_precision(None, (None,)) == []


def test_the_cpu_is_measured_where_it_is_asked_for_or_there_is_no_gpu(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, line = choose("cpu")
    assert card is None
    assert line.startswith("the CPU, ")
    assert line.endswith("; as --device cpu asks")
    for hidden in ("", "-1", "7"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        card, line = choose()
        assert card is None
        assert f"; no GPU: no GPU '{hidden}' (from CUDA_VISIBLE_DEVICES) here" in line
        with pytest.raises(NoGpuError):
            choose("gpu")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    change(machine / "card", init_error=18)  # the library of another version than the kernel's module
    assert "no GPU: NVML can't be used (RM has detected an NVML/RM version mismatch.)" in choose()[1]
    with pytest.raises(NoGpuError, match="version mismatch"):
        choose("gpu")


def test_devices_that_are_none() -> None:
    with pytest.raises(UsageError, match="--device is cpu or gpu, not 'tpu'"):
        choose("tpu")
    with pytest.raises(UsageError, match="--device cpu and --gpu 0: give one of them"):
        choose("cpu", "0")


def test_an_instance_of_a_card_is_not_measured_under_the_cards_name(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(machine / "card", mig=[1, 1])
    card, line = choose()
    assert card is not None
    assert (card.name, card.memory_bytes) == ("NVIDIA H200, its first MIG instance", None)
    assert "power, energy and memory in use are the whole card's" in line
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5d1f0c4e-0000-4a3b-8c2d-0123456789ab")
    with pytest.raises(NoGpuError, match=r"names a MIG instance.*--gpu INDEX measures the first instance"):
        choose()


@pytest.mark.parametrize(
    "facts",
    [
        {"memory_bytes": None, "compute_capability": [12, 1]},  # a GB10, whose memory is the CPU's
        {"compute_mode": None, "compute_capability": [8, 7]},  # a Tegra
        {"compute_mode": None, "compute_capability": [11, 0]},
        {"lost": [pynvml.NVML_ERROR_GPU_IS_LOST]},
    ],
)
def test_unusual_cards_can_be_measured(
    machine: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]
) -> None:
    change(machine / "card", **facts)
    card, line = choose(None, UUID)
    assert card is not None
    assert line.startswith("NVIDIA H200 (GPU ")
    assert first_obstacle(which=UUID) is None
    assert not [c for c in examine() if "could not be looked at" in c.found]


def test_a_card_that_somebody_else_uses(machine: Path) -> None:
    change(machine / "card", processes=[[os.getpid(), 2**30]])
    (failure,) = failures()
    assert f"process {os.getpid()}" in failure.found
    assert "end it or take another GPU" in failure.remedy


def test_in_a_container_others_may_be_there_that_are_not_seen(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FIRST_PID_NAMESPACE", Path("pid:[1]"))
    assert the("MPS").found.endswith("which nobody else uses, as far as this pid namespace shows")
    change(machine / "card", utilisation_percent=80, memory_used_bytes=5 * 2**30)
    assert the("neighbours").status == WARN
    assert "is 80 % busy and has 5.0 GiB of its memory in use" in the("neighbours").found
    assert first_obstacle() is None


@pytest.mark.thorough
def test_no_driver_at_all(machine: Path) -> None:
    change(machine / "card", init_error=12, smi="no driver")
    driver, nvml = failures()
    assert (driver.name, nvml.name) == ("driver", "NVML")
    assert "go on without --with-mps" in driver.remedy
    assert nvml.found == "no NVIDIA driver here (libnvidia-ml.so.1 is missing)"
    assert (first_obstacle() or "").startswith(
        "no NVIDIA driver here (libnvidia-ml.so.1 is missing): install"
    )


def test_a_kernel_module_that_nvml_does_not_reach(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was started without the driver's libraries."""
    told = machine / "version"
    told.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\n")
    monkeypatch.setattr(checks, "KERNEL_MODULE", told)
    change(machine / "card", init_error=12)
    assert the("driver") == Check(
        "driver", WARN, "kernel module 575.57.08, but NVML does not reach it", "see NVML"
    )
    assert the("NVML").status == FAIL


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    (failure,) = failures()
    assert failure.found.startswith("no GPU '3' (from CUDA_VISIBLE_DEVICES) here")
    assert "no GPU '3'" in (first_obstacle() or "")
    assert first_obstacle(which="0") is None


def test_more_workers_than_clients(machine: Path) -> None:
    assert "use at most --workers 48" in (first_obstacle(workers=49) or "")


def test_no_control_daemon(machine: Path) -> None:
    (machine / "bin/nvidia-cuda-mps-control").unlink()
    assert the("control daemon").status == FAIL
    assert "it comes with NVIDIA's driver" in the("control daemon").remedy
    assert (first_obstacle() or "").startswith("no nvidia-cuda-mps-control here")


def test_a_control_daemon_that_does_not_tell_its_version_or_has_no_server(machine: Path) -> None:
    a_program(machine / "bin/nvidia-cuda-mps-control", "echo Cannot find MPS control daemon process; exit 1")
    (machine / "bin/nvidia-cuda-mps-server").unlink()
    version, server = [check for check in examine() if check.name == "control daemon"]
    assert version.found.endswith("which does not tell its version")
    assert server.found == "no nvidia-cuda-mps-server"


def test_static_partitions_need_ampere_driver_590_and_a_daemon_of_our_own(machine: Path) -> None:
    assert first_obstacle(limits=["sm_chunks"]) is None
    borrowed = MpsOptions(use_running_daemon=True)
    for limit in ("sm_chunks", "memory_limit_mib"):
        assert "drop --use-running-daemon" in (first_obstacle(options=borrowed, limits=[limit]) or "")
    change(machine / "card", compute_capability=[7, 5])
    assert "came with Ampere: drop --sm-chunks" in (first_obstacle(limits=["sm_chunks"]) or "")
    change(machine / "card", compute_capability=[9, 0])
    a_program(machine / "bin/nvidia-cuda-mps-control", "echo Cannot find MPS control daemon process; exit 1")
    assert "is too old for static partitions (-S)" in (first_obstacle(limits=["sm_chunks"]) or "")
    assert first_obstacle() is None


def test_a_daemon_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    there = RunningDaemon(4711, "alice", Path("/tmp/nvidia-mps"))
    monkeypatch.setattr(checks, "running_daemon", lambda: there)
    (failure,) = failures()
    assert "pid 4711, user alice, pipe folder /tmp/nvidia-mps" in failure.found
    assert failure.remedy.startswith("--use-running-daemon")
    assert "pid 4711" in (first_obstacle() or "")
    assert first_obstacle(options=MpsOptions(use_running_daemon=True)) is None


def test_a_driver_that_forgets_the_compute_mode_is_told_with_the_way_on(machine: Path) -> None:
    assert "persistence mode" not in {check.name for check in examine()}
    change(machine / "card", persistence=0)
    assert the("persistence mode").status == WARN
    assert the("persistence mode").remedy == f"as root: `nvidia-smi -i {UUID} -pm 1`"


def test_the_compute_mode_where_it_may_not_be_changed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert the("compute mode").status == WARN
    assert the("compute mode").found == "stays DEFAULT: only root may change it"
    (machine / "bin/nvidia-smi").unlink()
    monkeypatch.setenv("PATH", f"{machine}/bin")
    assert the("compute mode").found == "stays DEFAULT: no nvidia-smi to change it"
    assert first_obstacle() is None


def test_nothing_is_changed(machine: Path) -> None:
    examine()
    assert stand_ins.transcript(machine / "card") == []


def test_shared_memory(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SHARED_MEMORY", machine / "shm")
    assert "missing or not writable" in (first_obstacle() or "")
    (machine / "shm").mkdir()
    assert first_obstacle() is None
    monkeypatch.setattr(checks, "LEAST_SHARED_BYTES", 2**80)
    (little,) = checks._shared_memory()
    assert little.status == WARN
    assert "before Volta" in little.found
    for whose in ("mount -o remount,size=1g", "docker --shm-size=1g", "Kubernetes"):
        assert whose in (little.remedy or "")


def test_a_torch_without_cuda(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_torch(machine / "torch", monkeypatch, CPU_TORCH)
    (failure,) = failures()
    assert failure.found == "2.13.0+cpu is built without CUDA"


def test_archives(machine: Path) -> None:
    (machine / "model_store/resnet50.mar").write_bytes(b"half of it")
    assert (the("archives").status, the("archives").found) == (WARN, "model_store/resnet50.mar is damaged")
    (machine / "model_store/bert.mar").unlink()
    (failure,) = failures()
    assert (failure.found, failure.remedy) == ("no model_store/bert.mar", "`make mar` builds it")


@pytest.mark.thorough
def test_little_of_everything_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "usable_cores", lambda: 1)
    for least in ("LEAST_MEMORY_BYTES", "LEAST_DISK_BYTES"):
        monkeypatch.setattr(checks, least, 2**80)
    monkeypatch.setattr(checks, "_is_free", lambda port: port != 8081)
    for name in ("CPU", "memory", "disk", "ports"):
        assert the(name).status == WARN
        assert the(name).remedy
    assert "8081" in the("ports").found


@pytest.mark.parametrize(
    ("quota", "status", "found"),
    [
        (0.5, WARN, "half a core, by a quota of the cgroup"),
        (1.0, WARN, "1 core, by a quota of the cgroup"),
        (2.5, OK, "2.5 cores, by a quota of the cgroup"),
    ],
)
def test_a_cpu_quota_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, quota: float, status: str, found: str
) -> None:
    monkeypatch.setattr(checks, "core_quota", lambda: quota)
    (cpu,) = checks._cores()
    assert (cpu.status, cpu.found) == (status, found)


def test_what_fails_or_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises() -> Iterator[Check]:
        yield Check("first", OK, "kept")
        raise ExperimentError("the cause: the remedy")

    def is_strange() -> Iterator[Check]:
        raise ZeroDivisionError("strange")
        yield

    def hangs() -> Iterator[Check]:
        time.sleep(60)
        yield Check("never", OK, "said")

    monkeypatch.setattr(checks, "EXAMINATIONS", (("a", raises), ("b", is_strange), ("c", hangs)))
    monkeypatch.setattr(checks, "TIMEOUT_S", 0.2)
    kept, raised, strange, hung = examine()
    assert kept.found == "kept"
    assert raised == Check("a", FAIL, "the cause", "the remedy")
    assert strange.found == "could not be looked at: ZeroDivisionError('strange')"
    assert (hung.name, hung.status) == ("c", FAIL)


def test_the_report_as_lines_and_as_json(machine: Path) -> None:
    lines = CliRunner().invoke(doctor.app)
    assert lines.exit_code == 0
    assert lines.stdout.endswith("python -m mps.run --with-mps can run\n")
    change(machine / "card", mig=[1, 1])
    lines = CliRunner().invoke(doctor.app)
    assert lines.exit_code == 1
    (failed,) = [line for line in lines.stdout.splitlines() if line.startswith("fail")]
    assert "-mig 0` turns it off" in failed
    as_json = CliRunner().invoke(doctor.app, ["--json"])
    assert as_json.exit_code == 1
    report = json.loads(as_json.stdout)
    assert report["can_run_with_mps"] is False
    assert all(check.keys() == {"name", "status", "found", "remedy"} for check in report["checks"])
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")
