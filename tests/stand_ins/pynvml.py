"""pynvml with one made-up card: the constants and errors of the real module, the answers of card.json.

In a test's own process it takes the place of `mps.card.device.pynvml`; in a program under test it is found
first when this folder leads PYTHONPATH. Functions that the card does not have fail as on the real one.
"""

# ruff: noqa: N802

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STAND_IN = True  # so that what is measured with it says so

_HERE = Path(__file__).resolve()


def _real_pynvml() -> dict[str, Any]:
    candidates = (Path(folder or ".").resolve() / "pynvml.py" for folder in sys.path)
    path = next(path for path in candidates if path.is_file() and path != _HERE)
    spec = importlib.util.spec_from_file_location("real_pynvml", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_pynvml"] = module  # its error classes look themselves up there
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


globals().update(_real_pynvml())
_Error: Any = globals()["NVMLError"]
_NOT_SUPPORTED: int = globals()["NVML_ERROR_NOT_SUPPORTED"]
_INVALID: int = globals()["NVML_ERROR_INVALID_ARGUMENT"]
_LACKING: int = globals()["NVML_ERROR_FUNCTION_NOT_FOUND"]
_opened = 0
_opening = threading.Lock()  # NVML counts its users whatever threads they are


def _card() -> Any:
    return SimpleNamespace(**json.loads((Path(os.environ["STAND_IN_GPU"]) / "card.json").read_text()))


def _supported(value: Any) -> Any:
    if value is None:
        raise _Error(_NOT_SUPPORTED)
    return value


def _processes(listed: list[tuple[int, int | None]]) -> list[Any]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in listed]


def nvmlInit() -> None:
    """Who has it open is a file in the card's folder: without persistence mode the card lives as long."""
    global _opened
    if error := _card().init_error:
        raise _Error(error)
    with _opening:
        _opened += 1
        _held().touch()


def nvmlShutdown() -> None:
    global _opened
    with _opening:
        _opened -= 1
        if not _opened:
            _held().unlink(missing_ok=True)
            if not _card().persistence and not list(_held().parent.glob("held-*")):
                _forget_compute_mode()


def _held() -> Path:
    return Path(os.environ["STAND_IN_GPU"]) / f"held-{os.getpid()}"


def _forget_compute_mode() -> None:
    """The file is replaced, as other threads and programs read it meanwhile."""
    file = Path(os.environ["STAND_IN_GPU"]) / "card.json"
    new = file.with_name(f"card.new-{os.getpid()}")
    new.write_text(json.dumps(json.loads(file.read_text()) | {"compute_mode": 0}))
    new.replace(file)


def _offered(card: Any, name: str) -> None:
    if name in card.functions_lacking:
        raise _Error(_LACKING)


def nvmlSystemGetDriverVersion() -> str:
    return str(_card().driver)


def nvmlSystemGetCudaDriverVersion() -> int:
    return int(_card().driver_cuda)


def nvmlSystemGetNVMLVersion() -> str:
    return f"13.{_card().driver}"  # as R580 tells it; "12.535.161.07" of R535


def nvmlDeviceGetCount() -> int:
    return 1 + len(_card().lost)


def nvmlDeviceGetHandleByIndex(index: int) -> Any:
    """The cards before ours are lost: they have a handle, and answer nothing else."""
    card = _card()
    if index > len(card.lost):
        raise _Error(_INVALID)
    return card if index == len(card.lost) else SimpleNamespace(lost=card.lost[index])


def nvmlDeviceGetHandleByUUID(uuid: str) -> Any:
    if uuid != _card().uuid:
        raise _Error(_INVALID)
    return _card()


def nvmlDeviceGetName(card: Any) -> str:
    return str(card.name)


def nvmlDeviceGetUUID(card: Any) -> str:
    return str(card.uuid)


def nvmlDeviceGetCudaComputeCapability(card: Any) -> tuple[int, ...]:
    if isinstance(card.lost, int):
        raise _Error(card.lost)
    return tuple(card.compute_capability)


def nvmlDeviceGetNumGpuCores(card: Any) -> Any:
    return _supported(card.cores)


def nvmlDeviceGetMigMode(card: Any) -> Any:
    return _supported(card.mig)


def nvmlDeviceGetPersistenceMode(card: Any) -> Any:
    return _supported(card.persistence)


def nvmlDeviceGetEccMode(card: Any) -> Any:
    return _supported(card.ecc)


def nvmlDeviceGetMemoryInfo(card: Any) -> Any:
    return SimpleNamespace(total=_supported(card.memory_bytes), used=card.memory_used_bytes)


def nvmlDeviceGetComputeMode(card: Any) -> int:
    return int(_supported(card.compute_mode))


def nvmlDeviceGetUtilizationRates(card: Any) -> Any:
    return SimpleNamespace(gpu=card.utilisation_percent, memory=12)


def nvmlDeviceGetClockInfo(card: Any, kind: int) -> int:
    return {1: 1980, 2: 3201}[kind]


def nvmlDeviceGetMaxClockInfo(card: Any, kind: int) -> int:
    return {1: 1980, 2: 3201}[kind]


def nvmlDeviceGetPowerUsage(card: Any) -> int:
    return 76_250


def nvmlDeviceGetEnforcedPowerLimit(card: Any) -> int:
    return 700_000


def nvmlDeviceGetTotalEnergyConsumption(card: Any) -> int:
    return 123_456_000


def nvmlDeviceGetTemperature(card: Any, sensor: int) -> int:
    _offered(card, "nvmlDeviceGetTemperature")
    return int(card.temperature_c)


def nvmlDeviceGetTemperatureV(card: Any, sensor: int) -> int:
    _offered(card, "nvmlDeviceGetTemperatureV")
    return int(card.temperature_c)


def nvmlDeviceGetCurrentClocksThrottleReasons(card: Any) -> Any:
    _offered(card, "nvmlDeviceGetCurrentClocksThrottleReasons")
    return _supported(card.throttle_reasons)


def nvmlDeviceGetCurrentClocksEventReasons(card: Any) -> Any:
    _offered(card, "nvmlDeviceGetCurrentClocksEventReasons")
    return _supported(card.throttle_reasons)


def nvmlDeviceGetComputeRunningProcesses(card: Any) -> list[Any]:
    if card.driver.startswith("470."):  # has the function of an earlier version only
        raise globals()["NVMLLibraryMismatchError"]("Unversioned function called and the library is newer")
    return _processes(card.processes)


def nvmlDeviceGetMPSComputeRunningProcesses(card: Any) -> list[Any]:
    return _processes(card.mps_processes)
