"""A GPU as NVML tells of it: what it is, what it does now, who uses it, which compute mode is in force.

NVML is only ever read. The compute mode is changed in mode.py, what MPS allows is in limits.py.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from experiments.base.errors import ExperimentError, UsageError

DEFAULT = "DEFAULT"
EXCLUSIVE_PROCESS = "EXCLUSIVE_PROCESS"
PROHIBITED = "PROHIBITED"

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
    (11, 0): 128,
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
    pynvml.nvmlClocksThrottleReasonBoardLimit: "board limit",
    pynvml.nvmlClocksThrottleReasonReliability: "reliability limit",
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
    """What does not change while a GPU is used. None: this card, driver or container does not tell."""

    index: int
    uuid: str
    name: str
    driver: str
    memory_bytes: int | None
    multiprocessors: int | None
    compute_capability: tuple[int, int]
    mig: bool
    max_sm_clock_mhz: int | None
    power_limit_w: float | None
    persistence: bool | None
    ecc: bool | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a GPU does now. None: this card or driver does not tell.

    `utilisation_percent` is the share of the last sampling period in which any kernel ran, not the share of
    multiprocessors at work. `energy_j` counts from the driver's start. Reasons: see THROTTLE_REASONS.
    """

    memory_used_bytes: int | None
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
    """Every GPU that answers, in NVML's order; one that is lost does not hide the others.

    Raises NoGpuError where there is no driver, GpuError where no GPU answers.
    """
    return _survey()[0]


def _survey() -> tuple[list[Gpu], dict[int, str]]:
    """The GPUs that answer, and what NVML said of those that don't, by index."""
    there, broken = [], {}
    with nvml():
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                there.append(_facts(index, driver))
            except pynvml.NVMLError as error:
                broken[index] = str(error)
    if broken and not there:
        raise GpuError(f"NVML: {_listed(broken)}; `nvidia-smi` shows the state of the GPU")
    return there, broken


def _listed(broken: dict[int, str]) -> str:
    return ", ".join(f"GPU {index} does not answer ({reason})" for index, reason in broken.items())


def gpu(which: str | None = None) -> Gpu:
    """The GPU by index or UUID (or its beginning); by default the first that CUDA would use here.

    That is the first of CUDA_VISIBLE_DEVICES, else GPU 0. Raises NoGpuError where it does not exist.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # empty hides every GPU
    if which is None and visible and visible.strip().startswith("MIG-"):
        raise NoGpuError(
            "CUDA_VISIBLE_DEVICES names a MIG instance, with which TorchServe 0.12.0 does not start: "
            "--gpu INDEX measures the first instance of that card, --device cpu the CPU"
        )
    wanted = which or ("0" if visible is None else visible.split(",")[0].strip())
    there, broken = _survey()
    for candidate in there:
        if wanted == str(candidate.index) or (
            wanted.startswith("GPU-") and candidate.uuid.startswith(wanted)
        ):
            return candidate
    known = ", ".join(f"{g.index} ({g.name}, {g.uuid})" for g in there) or "none"
    asked_by = "" if which or visible is None else " (from CUDA_VISIBLE_DEVICES)"
    and_broken = f"; {_listed(broken)}" if broken else ""
    raise NoGpuError(f"no GPU {wanted!r}{asked_by} here; NVML lists: {known}{and_broken}")


def read(card: Gpu) -> Reading:
    """One sample of what the GPU does now."""
    with nvml():
        handle = _handle(card)
        utilisation = told(pynvml.nvmlDeviceGetUtilizationRates, handle)
        power_mw = told(pynvml.nvmlDeviceGetPowerUsage, handle)
        energy_mj = told(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        return Reading(
            memory_used_bytes=memory_used_bytes(handle),
            utilisation_percent=None if utilisation is None else int(utilisation.gpu),
            sm_clock_mhz=told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            memory_clock_mhz=told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            power_w=None if power_mw is None else power_mw / 1000,
            energy_j=None if energy_mj is None else energy_mj / 1000,
            temperature_c=temperature_c(handle),
            throttle_reasons=throttle_reasons(throttle_bits(handle) or 0),
        )


def processes(card: Gpu) -> list[GpuProcess]:
    """The processes with a CUDA context on the GPU; pids are those of NVML's pid namespace, the host's.

    Clients of MPS may be in NVML's list of compute processes, in its list of MPS processes, or in both.
    """
    with nvml():
        handle = _handle(card)
        clients = told(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, handle) or []
        others = told(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    through_mps = {int(process.pid) for process in clients}
    # A client in both lists counts once, with the memory of whichever list tells it.
    memory: dict[int, int | None] = {}
    for process in [*others, *clients]:
        memory[int(process.pid)] = process.usedGpuMemory or memory.get(int(process.pid))
    return [GpuProcess(pid, used, pid in through_mps) for pid, used in sorted(memory.items())]


def cuda_of_driver() -> int | None:
    """The newest CUDA that the driver runs, 13000 for 13.0; None where it doesn't tell."""
    with nvml():
        version = told(pynvml.nvmlSystemGetCudaDriverVersion)
    return None if version is None else int(version)


def nvml_version() -> str | None:
    """NVML's own version, "13.580.159.04"; None where it doesn't tell. Raises NoGpuError without a driver."""
    with nvml():
        version = told(pynvml.nvmlSystemGetNVMLVersion)
    return None if version is None else _text(version)


def compute_mode(card: Gpu) -> str:
    """DEFAULT, EXCLUSIVE_PROCESS or PROHIBITED. DEFAULT where there are no modes, as on Tegra."""
    with nvml():
        mode = told(pynvml.nvmlDeviceGetComputeMode, _handle(card))
    if mode is None:
        return DEFAULT
    return COMPUTE_MODES.get(mode, f"mode {mode}")


def throttle_bits(handle: Any) -> int | None:
    """NVML's bit mask of why clocks are low. The older function goes away with CUDA 14, older drivers
    have no other."""
    bits = told(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    return told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) if bits is None else int(bits)


def temperature_c(handle: Any) -> int | None:
    """The same of the temperature."""
    found = told(pynvml.nvmlDeviceGetTemperatureV, handle, pynvml.NVML_TEMPERATURE_GPU)
    older = pynvml.nvmlDeviceGetTemperature
    return told(older, handle, pynvml.NVML_TEMPERATURE_GPU) if found is None else int(found)


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """The names of the reasons in NVML's bit mask, in the order of THROTTLE_REASONS."""
    return tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)


def _facts(index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    cores = told(pynvml.nvmlDeviceGetNumGpuCores, handle)
    per_multiprocessor = CORES_PER_MULTIPROCESSOR.get(capability)
    mig = told(pynvml.nvmlDeviceGetMigMode, handle)
    memory = told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    limit_mw = told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    persistence = told(pynvml.nvmlDeviceGetPersistenceMode, handle)
    ecc = told(pynvml.nvmlDeviceGetEccMode, handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        driver=driver,
        memory_bytes=None if memory is None else int(memory.total),
        multiprocessors=cores // per_multiprocessor if cores and per_multiprocessor else None,
        compute_capability=capability,
        mig=bool(mig and mig[0]),  # (current, pending): pending waits for a reset of the card
        max_sm_clock_mhz=told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        persistence=None if persistence is None else bool(persistence),
        ecc=None if ecc is None else bool(ecc[0]),  # (current, pending), as of MIG
    )


def memory_used_bytes(handle: Any) -> int | None:
    """Of the whole card. None where CPU and GPU share one memory (GB10), or a container has a slice of it."""
    memory = told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return None if memory is None else int(memory.used)


def _handle(card: Gpu) -> Any:
    return pynvml.nvmlDeviceGetHandleByUUID(card.uuid)


def told(function: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers, or None where this card, driver or user does not get an answer."""
    try:
        return function(*arguments)
    except pynvml.NVMLLibraryMismatchError:  # no NVMLError: the driver is older than this function, R470 say
        return None
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
