"""The card: what NVML says of it, its compute mode borrowed and put back, and what speaks against MPS on it.

Nothing here starts or knows the MPS control daemon (that is mps/control). NVML is only ever read; the
compute mode is changed through nvidia-smi, which says in words why it may not.
"""

import logging
import os
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pynvml

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.interrupts import carry_through, interrupts_held_back

log = logging.getLogger(__name__)

DEFAULT = "DEFAULT"
EXCLUSIVE_PROCESS = "EXCLUSIVE_PROCESS"
PROHIBITED = "PROHIBITED"
SMI_TIMEOUT_S = 60.0  # without persistence mode the driver initialises the card first, which takes seconds

COMPUTE_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: DEFAULT,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD: "EXCLUSIVE_THREAD",
    pynvml.NVML_COMPUTEMODE_PROHIBITED: PROHIBITED,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: EXCLUSIVE_PROCESS,
}

# CUDA cores in one multiprocessor, from the table of arithmetic throughput in NVIDIA's CUDA C++ Programming
# Guide (results per clock cycle of 32-bit floating-point add, by compute capability). NVML gives cores only.
CORES_PER_MULTIPROCESSOR = {
    (3, 5): 192,
    (3, 7): 192,
    (5, 0): 128,
    (5, 2): 128,
    (5, 3): 128,
    (6, 0): 64,
    (6, 1): 128,
    (6, 2): 128,
    (7, 0): 64,
    (7, 2): 64,
    (7, 5): 64,
    (8, 0): 64,
    (8, 6): 128,
    (8, 7): 128,
    (8, 9): 128,
    (9, 0): 128,
    (10, 0): 128,
    (10, 3): 128,
    (12, 0): 128,
    (12, 1): 128,
}

THROTTLE_REASONS = {
    pynvml.nvmlClocksThrottleReasonGpuIdle: "idle",
    pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting: "application clocks",
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync boost",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "temperature (software)",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "temperature (hardware)",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
    pynvml.nvmlClocksThrottleReasonDisplayClockSetting: "display clocks",
}

# What NVML answers where a card, a driver or a container does not offer a value.
UNAVAILABLE = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_DATA,
)


class GpuError(ExperimentError):
    """The GPU or its driver answered with an error."""


class NoGpuError(UsageError):
    """There is no GPU that NVML can reach. The message names the cause and the way on."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What does not change while a GPU is used. `multiprocessors` is None where it can't be told."""

    index: int
    uuid: str
    name: str
    driver: str
    memory_bytes: int
    multiprocessors: int | None
    compute_capability: tuple[int, int]
    mig: bool
    max_sm_clock_mhz: int | None
    power_limit_w: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a GPU does now. None: this card or driver does not tell.

    `utilisation_percent` is the share of the last sampling period in which any kernel ran, not the share of
    multiprocessors at work. `energy_j` counts from the driver's start. Reasons: see THROTTLE_REASONS.
    """

    memory_used_bytes: int
    utilisation_percent: int | None
    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    power_w: float | None
    energy_j: float | None
    temperature_c: int | None
    throttle_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process with a CUDA context on the GPU. `through_mps`: NVML lists it as a client of an MPS server."""

    pid: int
    memory_bytes: int | None
    through_mps: bool


@contextmanager
def nvml() -> Iterator[None]:
    """NVML, initialised for what is inside. Nests cheaply: hold it open around many readings.

    Raises NoGpuError where the driver or its library is missing.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoGpuError(_why_no_gpu(error)) from error
    try:
        yield
    except pynvml.NVMLError as error:
        raise GpuError(f"NVML: {error}; `nvidia-smi` shows the state of the GPU") from error
    finally:
        pynvml.nvmlShutdown()


def is_stood_in_for() -> bool:
    """Whether NVML is a stand-in of the tests: figures measured with it are of no GPU."""
    return bool(getattr(pynvml, "STAND_IN", False))


def gpus() -> list[Gpu]:
    """Every GPU that NVML reaches, in its order. Raises NoGpuError where there is no driver."""
    with nvml():
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return [_facts(index, driver) for index in range(pynvml.nvmlDeviceGetCount())]


def gpu(which: str | None = None) -> Gpu:
    """The GPU by index or UUID (or its beginning); by default the first that CUDA would use here.

    That is the first of CUDA_VISIBLE_DEVICES, else GPU 0. Raises NoGpuError where it does not exist.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # empty hides every GPU
    wanted = which or ("0" if visible is None else visible.split(",")[0].strip())
    there = gpus()
    for candidate in there:
        if wanted == str(candidate.index) or (
            wanted.startswith("GPU-") and candidate.uuid.startswith(wanted)
        ):
            return candidate
    known = ", ".join(f"{g.index} ({g.name}, {g.uuid})" for g in there) or "none"
    asked_by = "" if which or visible is None else " (from CUDA_VISIBLE_DEVICES)"
    raise NoGpuError(f"no GPU {wanted!r}{asked_by} here; NVML lists: {known}")


def read(card: Gpu) -> Reading:
    """One sample of what the GPU does now."""
    with nvml():
        handle = _handle(card)
        utilisation = _or_none(pynvml.nvmlDeviceGetUtilizationRates, handle)
        power_mw = _or_none(pynvml.nvmlDeviceGetPowerUsage, handle)
        energy_mj = _or_none(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        return Reading(
            memory_used_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
            utilisation_percent=None if utilisation is None else int(utilisation.gpu),
            sm_clock_mhz=_or_none(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            memory_clock_mhz=_or_none(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            power_w=None if power_mw is None else power_mw / 1000,
            energy_j=None if energy_mj is None else energy_mj / 1000,
            temperature_c=_or_none(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            throttle_reasons=throttle_reasons(
                _or_none(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
            ),
        )


def processes(card: Gpu) -> list[GpuProcess]:
    """The processes with a CUDA context on the GPU; pids are those of NVML's pid namespace, the host's.

    Clients of MPS may be in NVML's list of compute processes, in its list of MPS processes, or in both.
    """
    with nvml():
        handle = _handle(card)
        clients = _or_none(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, handle) or []
        others = _or_none(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    through_mps = {int(process.pid) for process in clients}
    # A client in both lists counts once, with the memory of whichever list tells it.
    memory: dict[int, int | None] = {}
    for process in [*others, *clients]:
        memory[int(process.pid)] = process.usedGpuMemory or memory.get(int(process.pid))
    return [GpuProcess(pid, used, pid in through_mps) for pid, used in sorted(memory.items())]


def compute_mode(card: Gpu) -> str:
    """DEFAULT, EXCLUSIVE_PROCESS or PROHIBITED."""
    with nvml():
        mode = pynvml.nvmlDeviceGetComputeMode(_handle(card))
    return COMPUTE_MODES.get(mode, f"mode {mode}")


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """The names of the reasons in NVML's bit mask, in the order of THROTTLE_REASONS."""
    return tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)


@contextmanager
def exclusive_process(
    card: Gpu,
    *,
    keep: bool = False,
    smi: Path | str = "nvidia-smi",
    warn: Callable[[str], None] = log.warning,
) -> Iterator[str]:
    """The GPU in EXCLUSIVE_PROCESS mode, so that nothing bypasses the MPS daemon; yields the mode in force.

    What was there before comes back at the end, whatever happens inside; SIGINT and SIGTERM wait while the
    mode is being changed. Where it may not be changed, `warn` gets the reason and the mode stays: MPS works
    in DEFAULT mode too. `keep` leaves it alone from the start. Raises GpuError when it can't be put back.

    The mode holds for every process on the machine. Without MPS only one process can use the card in it.
    """
    before = compute_mode(card)
    if keep or before == EXCLUSIVE_PROCESS:
        yield before
        return
    try:
        with interrupts_held_back():
            refusal = _set_compute_mode(card, EXCLUSIVE_PROCESS, smi)
        if refusal:
            warn(
                f"the compute mode of {card.name} stays {before} ({refusal}): MPS works, but a process that "
                "does not know of the daemon can use the GPU beside it"
            )
        yield before if refusal else EXCLUSIVE_PROCESS
    finally:
        carry_through(lambda: _put_back(card, before, smi))


def max_mps_clients(compute_capability: tuple[int, int], driver: str) -> int:
    """CUDA contexts that one MPS server takes on a device of that compute capability under that driver.

    All from NVIDIA's Multi-Process Service document, 'Client-Server Connection Limits':
    https://docs.nvidia.com/deploy/mps/when-to-use-mps.html#client-server-connection-limits
    They hold for CUDA_DEVICE_MAX_CONNECTIONS at its default of 2; a higher value leaves room for fewer.
    """
    if compute_capability < (7, 0):
        return 16  # 'pre-Volta MPS server', every edition of the document
    if _major(driver) < 590:
        return 48  # 'Volta MPS server', editions up to r580: 'CUDA 13.0 and prior'
    return 60  # edition r590 (December 2025) says raised from 48; CUDA 13.1 came with driver 590


def preflight(card: Gpu, workers: int, *, ours: Collection[int] = ()) -> list[str]:
    """What speaks against measuring `workers` processes on this GPU without and with MPS, a line each.

    `ours`: pids that may use the GPU, such as the server of a daemon that is to be used. Empty: go ahead.
    """
    problems = []
    # NVIDIA's MPS document, 'System Considerations'; Debian's package nvidia-cuda-mps repeats it.
    if card.compute_capability < (3, 5):
        problems.append(
            f"{card.name} has no MPS: that needs compute capability 3.5, this has {_dotted(card)}"
        )
    elif workers > (most := max_mps_clients(card.compute_capability, card.driver)):
        problems.append(
            f"{workers} workers are more than the {most} clients that MPS allows on {card.name} (compute "
            f"capability {_dotted(card)}, driver {card.driver}): use at most --workers {most}"
        )
    if card.mig:
        problems.append(
            f"MIG is on, on {card.name}: its slices are measured one by one, which is not supported; "
            f"`nvidia-smi -i {card.uuid} -mig 0` turns it off"
        )
    mode = compute_mode(card)
    if mode == PROHIBITED or (mode == EXCLUSIVE_PROCESS and workers > 1):
        allows = "no process" if mode == PROHIBITED else "only one process without MPS"
        problems.append(
            f"{card.name} is in compute mode {mode}, which lets {allows} use it: "
            f"`nvidia-smi -i {card.uuid} -c DEFAULT` changes that"
        )
    problems += [
        f"{_described(process.pid)} uses {card.name} and would be measured too: end it or take another GPU"
        for process in processes(card)
        if process.pid not in ours
    ]
    return problems


def _facts(index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    cores = _or_none(pynvml.nvmlDeviceGetNumGpuCores, handle)
    per_multiprocessor = CORES_PER_MULTIPROCESSOR.get(capability)
    mig = _or_none(pynvml.nvmlDeviceGetMigMode, handle)
    limit_mw = _or_none(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        driver=driver,
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        multiprocessors=cores // per_multiprocessor if cores and per_multiprocessor else None,
        compute_capability=capability,
        mig=bool(mig and mig[0]),  # (current, pending): pending waits for a reset of the card
        max_sm_clock_mhz=_or_none(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
    )


def _handle(card: Gpu) -> Any:
    return pynvml.nvmlDeviceGetHandleByUUID(card.uuid)


def _or_none(function: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers, or None where this card, driver or user does not get an answer."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in UNAVAILABLE:
            return None
        raise


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _why_no_gpu(error: Any) -> str:
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return "no NVIDIA driver here (libnvidia-ml.so.1 is missing): install it, or go on without --with-mps"
    if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return "NVIDIA's driver is not loaded: is there a GPU? `modprobe nvidia`, or go on without --with-mps"
    return f"NVML can't be used ({error}): `nvidia-smi` should work first, or go on without --with-mps"


def _put_back(card: Gpu, before: str, smi: Path | str) -> None:
    if compute_mode(card) == before:
        return
    if refusal := _set_compute_mode(card, before, smi):
        raise GpuError(
            f"the compute mode of {card.name} could not be put back to {before} ({refusal}): "
            f"run `nvidia-smi -i {card.uuid} -c {before}`"
        )


def _set_compute_mode(card: Gpu, mode: str, smi: Path | str) -> str | None:
    """Sets the mode; returns why it could not. nvidia-smi's exit code is not enough: it treats 'Not
    Supported' as a warning and ends with 0."""
    try:
        done = subprocess.run(
            [str(smi), "-i", card.uuid, "-c", mode],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SMI_TIMEOUT_S,
            start_new_session=True,  # Ctrl-C in the terminal must not end it halfway
        )
    except OSError as error:
        return f"nvidia-smi can't be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"nvidia-smi took longer than {SMI_TIMEOUT_S:.0f} s"
    if compute_mode(card) == mode:
        return None
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"nvidia-smi: {said[0].strip().rstrip('.') if said else f'exit code {done.returncode}'}"


def _described(pid: int) -> str:
    """A process as a person knows it. It can be gone, another user's, or outside of our container."""
    try:
        process = psutil.Process(pid)
        return f"process {pid} ({process.name()}, user {process.username()})"
    except psutil.Error:
        return f"process {pid}"


def _dotted(card: Gpu) -> str:
    return "{}.{}".format(*card.compute_capability)


def _major(driver: str) -> int:
    first = driver.split(".")[0]
    return int(first) if first.isdigit() else 0
