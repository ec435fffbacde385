"""The GPU through a stand-in NVML and a stand-in nvidia-smi: facts, compute mode, what speaks against MPS."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pynvml
import pytest

from experiments.base.paths import ROOT
from mps.card import (
    DEFAULT,
    EXCLUSIVE_PROCESS,
    GpuError,
    GpuProcess,
    NoGpuError,
    compute_mode,
    device,
    exclusive_process,
    gpu,
    gpus,
    max_mps_clients,
    nvml_version,
    preflight,
    processes,
    put_back_after_the_dead,
    read,
    throttle_reasons,
)
from tests import stand_ins
from tests.stand_ins import NVIDIA_SMI, UUID, a_card, change, facts_of, transcript
from tests.stand_ins import pynvml as stand_in_pynvml

SET_EXCLUSIVE = f"nvidia-smi -i {UUID} -c EXCLUSIVE_PROCESS"
SET_DEFAULT = f"nvidia-smi -i {UUID} -c DEFAULT"


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an idle H200 in DEFAULT mode; tests change it."""
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(stand_ins.VARIABLE, str(tmp_path / "card"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return a_card(tmp_path / "card")


def test_facts_of_a_card(card: Path) -> None:
    (found,) = gpus()
    assert (found.name, found.uuid, found.driver) == ("NVIDIA H200", UUID, "580.159.04")
    assert found.compute_capability == (9, 0)
    assert found.multiprocessors == 132
    assert found.memory_bytes == 150_754_820_096
    assert found.power_limit_w == 700.0
    assert not found.mig
    assert (found.persistence, found.ecc) == (True, True)
    assert nvml_version() == "13.580.159.04"


def test_what_a_card_does_not_tell_is_none(card: Path) -> None:
    change(card, cores=None, mig=None, throttle_reasons=None, persistence=None, ecc=None)
    assert gpu().multiprocessors is None
    assert gpu().mig is False
    assert (gpu().persistence, gpu().ecc) == (None, None)
    assert read(gpu()).throttle_reasons == ()


def test_a_card_that_shares_the_cpus_memory_has_none_of_its_own(card: Path) -> None:
    """Not supported on a GB10, no permission on the parent of a container's MIG slice."""
    change(card, memory_bytes=None)
    assert gpu().memory_bytes is None
    assert read(gpu()).memory_used_bytes is None


def test_a_driver_older_than_a_function_of_nvml_does_not_tell(card: Path) -> None:
    change(card, driver="470.256.02", processes=[[10, 500]])
    assert processes(gpu()) == []


def test_a_lost_card_does_not_hide_the_others(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(card, lost=[pynvml.NVML_ERROR_GPU_IS_LOST])
    assert [found.index for found in gpus()] == [1]
    assert gpu("1").uuid == UUID
    with pytest.raises(NoGpuError, match=r"no GPU '0' here.*; GPU 0 does not answer \(GPU is lost\)$"):
        gpu()


def test_an_unknown_architecture_has_no_number_of_multiprocessors(card: Path) -> None:
    change(card, compute_capability=[99, 0])
    assert gpu().multiprocessors is None


def test_a_reading_has_units(card: Path) -> None:
    now = read(gpu())
    assert now.memory_used_bytes == 625_344_512
    assert (now.power_w, now.energy_j) == (76.25, 123_456.0)
    assert (now.sm_clock_mhz, now.memory_clock_mhz, now.temperature_c) == (1980, 3201, 31)
    assert (now.utilisation_percent, now.throttle_reasons) == (37, ("idle",))


def test_throttle_reasons_are_named() -> None:
    assert throttle_reasons(0) == ()
    assert throttle_reasons(0x4 | 0x20) == ("power cap", "temperature (software)")


def test_throttling_by_the_board_or_for_reliability_has_a_name() -> None:
    assert throttle_reasons(0x200 | 0x400) == ("board limit", "reliability limit")


@pytest.mark.parametrize(
    "lacking",
    [
        ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV"],  # an older driver
        ["nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetTemperature"],  # one of CUDA 14
    ],
)
def test_what_a_driver_has_under_one_name_only_is_read_under_that(card: Path, lacking: list[str]) -> None:
    change(card, functions_lacking=lacking)
    now = read(gpu())
    assert (now.temperature_c, now.throttle_reasons) == (31, ("idle",))


def test_processes_say_who_came_through_mps(card: Path) -> None:
    change(card, processes=[[10, 500], [20, None]], mps_processes=[[20, 700], [30, None]])
    assert processes(gpu()) == [
        GpuProcess(10, 500, through_mps=False),
        GpuProcess(20, 700, through_mps=True),
        GpuProcess(30, None, through_mps=True),
    ]


@pytest.mark.parametrize(("visible", "found"), [("0", True), (UUID[:9], True), ("1", False), ("", False)])
def test_the_gpu_is_the_first_that_cuda_would_use(
    card: Path, monkeypatch: pytest.MonkeyPatch, visible: str, found: bool
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if found:
        assert gpu().uuid == UUID
    else:
        with pytest.raises(NoGpuError, match=r"CUDA_VISIBLE_DEVICES.*NVML lists: 0 \(NVIDIA H200"):
            gpu()


@pytest.mark.parametrize(
    ("code", "cause"),
    [(9, "driver is not loaded"), (12, r"libnvidia-ml\.so\.1 is missing"), (999, "can't be used")],
)
def test_without_a_driver_the_error_names_the_way_on(card: Path, code: int, cause: str) -> None:
    change(card, init_error=code)
    with pytest.raises(NoGpuError, match=f"{cause}.*without --with-mps") as caught:
        gpu()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_an_error_of_nvml_is_an_error_of_ours(card: Path) -> None:
    found = gpu()
    change(card, uuid="GPU-another")
    with pytest.raises(GpuError, match="NVML: Invalid Argument"):
        compute_mode(found)


@pytest.mark.thorough
def test_the_compute_mode_is_borrowed_and_put_back(card: Path) -> None:
    with exclusive_process(gpu(), smi=NVIDIA_SMI) as mode:
        assert mode == EXCLUSIVE_PROCESS
        assert compute_mode(gpu()) == EXCLUSIVE_PROCESS
        assert transcript(card) == [SET_EXCLUSIVE]
    assert compute_mode(gpu()) == DEFAULT
    assert transcript(card) == [SET_EXCLUSIVE, SET_DEFAULT]


@pytest.mark.thorough
def test_the_compute_mode_is_put_back_after_an_exception(card: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive_process(gpu(), smi=NVIDIA_SMI):
        raise ZeroDivisionError
    assert transcript(card) == [SET_EXCLUSIVE, SET_DEFAULT]
    assert facts_of(card)["compute_mode"] == 0


def test_a_mode_that_is_right_already_or_is_to_be_kept_is_left_alone(card: Path) -> None:
    with exclusive_process(gpu(), keep=True, smi=NVIDIA_SMI) as mode:
        assert mode == DEFAULT
    change(card, compute_mode=3)
    with exclusive_process(gpu(), smi=NVIDIA_SMI) as mode:
        assert mode == EXCLUSIVE_PROCESS
    assert facts_of(card)["compute_mode"] == 3
    assert transcript(card) == []


@pytest.mark.parametrize(
    ("smi", "reason"),
    [
        ("refused", "Insufficient Permissions"),
        ("not supported", "not supported on a MIG-enabled device"),
        ("no driver", "couldn't communicate with the NVIDIA driver"),
    ],
)
def test_a_mode_that_may_not_be_changed_is_a_warning(card: Path, smi: str, reason: str) -> None:
    change(card, smi=smi)
    warnings: list[str] = []
    with exclusive_process(gpu(), smi=NVIDIA_SMI, warn=warnings.append) as mode:
        assert mode == DEFAULT
    (warning,) = warnings
    assert reason in warning
    assert "stays DEFAULT" in warning
    assert transcript(card) == [SET_EXCLUSIVE]


@pytest.mark.thorough
def test_without_persistence_mode_the_mode_holds_as_long_as_it_is_wanted(card: Path) -> None:
    """Else the driver lets go of the card as nvidia-smi ends, and forgets."""
    change(card, persistence=0)
    warnings: list[str] = []
    with exclusive_process(gpu(), smi=NVIDIA_SMI, warn=warnings.append) as mode:
        assert mode == EXCLUSIVE_PROCESS
        assert facts_of(card)["compute_mode"] == 3
    assert warnings == []
    assert facts_of(card)["compute_mode"] == 0


def test_a_mode_that_the_driver_forgets_is_a_warning_with_that_cause(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(card, persistence=0)
    monkeypatch.setattr(stand_in_pynvml, "_held", lambda: card / "seen-by-nobody")
    warnings: list[str] = []
    with exclusive_process(gpu(), smi=NVIDIA_SMI, warn=warnings.append) as mode:
        assert mode == DEFAULT
    assert f"persistence mode is off: `nvidia-smi -i {UUID} -pm 1`" in warnings[0]


def test_without_nvidia_smi_the_mode_stays(card: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    with exclusive_process(gpu(), smi=tmp_path / "nvidia-smi", warn=warnings.append) as mode:
        assert mode == DEFAULT
    assert "nvidia-smi can't be run: No such file" in warnings[0]


@pytest.mark.thorough
def test_a_mode_that_cannot_be_put_back_says_how_to(card: Path) -> None:
    with (
        pytest.raises(GpuError, match=rf"Insufficient Permissions\): run `nvidia-smi -i {UUID} -c DEFAULT`"),
        exclusive_process(gpu(), smi=NVIDIA_SMI),
    ):
        change(card, smi="refused")


INTERRUPTED = """
import signal, sys, time
from mps.card import exclusive_process, gpu
signal.signal(signal.SIGTERM, signal.default_int_handler)
with exclusive_process(gpu(), smi=sys.argv[1]):
    print("measuring", flush=True)
    time.sleep(60)
"""


WITHOUT_DESCRIPTORS = """
import resource, sys
from contextlib import suppress
from mps.card import exclusive_process, gpu
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
with exclusive_process(gpu(), smi=sys.argv[1]), suppress(OSError):
    while True:
        held.append(open("/dev/null"))
"""


@pytest.mark.thorough
def test_the_compute_mode_is_put_back_though_no_descriptor_is_left(card: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(NVIDIA_SMI)],
        env=os.environ | {"PYTHONPATH": f"{stand_ins.FOLDER}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert transcript(card) == [SET_EXCLUSIVE, SET_DEFAULT]


def killed_in_exclusive_mode(tmp: Path) -> None:
    """A program that had set the mode is gone, with no chance to put it back."""
    program = INTERRUPTED.replace("time.sleep(60)", "signal.raise_signal(signal.SIGKILL)")
    done = subprocess.run(
        [sys.executable, "-c", program, str(NVIDIA_SMI)],
        env=os.environ | {"PYTHONPATH": f"{stand_ins.FOLDER}:{ROOT}", "TMPDIR": str(tmp)},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.thorough
def test_after_a_sigkill_the_next_run_puts_the_compute_mode_back(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    killed_in_exclusive_mode(tmp)
    assert facts_of(card)["compute_mode"] == 3
    with exclusive_process(gpu(), smi=NVIDIA_SMI) as mode:
        assert mode == EXCLUSIVE_PROCESS
        put_back_after_the_dead(gpu(), smi=NVIDIA_SMI)  # of the living it leaves alone
        assert compute_mode(gpu()) == EXCLUSIVE_PROCESS
    assert compute_mode(gpu()) == DEFAULT
    assert transcript(card) == [SET_EXCLUSIVE, SET_DEFAULT, SET_EXCLUSIVE, SET_DEFAULT]
    assert list(tmp.iterdir()) == []


@pytest.mark.thorough
def test_a_mode_that_somebody_else_has_set_since_stays(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    killed_in_exclusive_mode(tmp)
    change(card, compute_mode=2)
    put_back_after_the_dead(gpu(), smi=NVIDIA_SMI)
    assert facts_of(card)["compute_mode"] == 2
    assert list(tmp.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_compute_mode_is_put_back_after_a_signal(card: Path, number: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(NVIDIA_SMI)],
        env=os.environ | {"PYTHONPATH": f"{stand_ins.FOLDER}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "measuring\n"
    assert facts_of(card)["compute_mode"] == 3
    program.send_signal(number)
    program.send_signal(number)  # an impatient second one
    _, errors = program.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert transcript(card) == [SET_EXCLUSIVE, SET_DEFAULT]
    assert facts_of(card)["compute_mode"] == 0


@pytest.mark.parametrize(
    ("capability", "driver", "clients"),
    [
        ((6, 1), "580.65.06", 16),
        ((7, 0), "384.81", 48),
        ((7, 5), "535.247.01", 48),
        ((9, 0), "580.95.05", 48),
        ((9, 0), "590.44.01", 60),
        ((12, 0), "615.10", 60),
        ((9, 0), "unknown", 48),
    ],
)
def test_clients_that_mps_takes(capability: tuple[int, int], driver: str, clients: int) -> None:
    assert max_mps_clients(capability, driver) == clients


def test_an_idle_card_passes_the_preflight(card: Path) -> None:
    assert preflight(gpu(), workers=48) == []


@pytest.mark.parametrize(
    ("facts", "workers", "problem"),
    [
        ({}, 49, "49 workers are more than the 48 clients that MPS allows on NVIDIA H200"),
        ({"driver": "590.44.01"}, 61, "61 workers are more than the 60 clients"),
        ({"mig": [1, 1]}, 1, f"MIG is on.*nvidia-smi -i {UUID} -mig 0"),
        ({"compute_capability": [3, 0]}, 1, "no MPS: that needs compute capability 3.5, this has 3.0"),
        ({"compute_mode": 2}, 1, "PROHIBITED, which lets no process use it"),
        ({"compute_mode": 3}, 2, "EXCLUSIVE_PROCESS, which lets only one process without MPS use it"),
        ({"processes": [[1, 10]]}, 1, r"process 1 \(\w+, user root\) uses NVIDIA H200"),
        ({"mps_processes": [[999_999_999, 10]]}, 1, "process 999999999 uses NVIDIA H200"),
    ],
)
def test_what_speaks_against_measuring(
    card: Path, facts: dict[str, object], workers: int, problem: str
) -> None:
    change(card, **facts)
    (found,) = preflight(gpu(), workers)
    assert re.search(problem, found)


def test_exclusive_mode_is_fine_for_one_worker_and_our_own_server_is_no_stranger(card: Path) -> None:
    change(card, compute_mode=3, processes=[[1, 10]])
    assert preflight(gpu(), workers=1, ours={1}) == []
