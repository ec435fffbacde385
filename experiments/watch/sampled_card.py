"""The GPU's part of a telemetry sample: which values are read how often, through NVML.

Only the sampler imports it, and only where there is a GPU. What a card is, and what is asked of it now and
then, is in mps/card.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

from mps.card import Gpu, gpu, nvml, processes
from mps.card.device import memory_used_bytes, temperature_c, throttle_bits, told


@contextmanager
def open_card(uuid: str) -> Iterator[Callable[[bool], dict[str, Any]]]:
    """A function that reads the GPU: often, or with True also what is read seldom. None: not offered.

    Raises NoGpuError or GpuError where there is no such GPU; so does the function when it fails later.
    """
    with nvml():
        card = gpu(uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(card.uuid)

        def read(seldom: bool) -> dict[str, Any]:
            with nvml():  # turns NVML's errors into ours
                return _read_often(handle) | (_read_seldom(card, handle) if seldom else {})

        yield read


def _read_often(handle: Any) -> dict[str, Any]:
    """What changes from one moment to the next, in as few calls as will do: many of them wait for the GPU's
    own processor. Power, which is dearest and lags behind, is read only where energy is not counted."""
    utilisation = told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    energy_mj = told(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    return {
        "utilisation_percent": None if utilisation is None else int(utilisation.gpu),
        "sm_clock_mhz": told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        "throttle_bits": throttle_bits(handle),
        "energy_mj": energy_mj,
        "power_mw": told(pynvml.nvmlDeviceGetPowerUsage, handle) if energy_mj is None else None,
    }


def _read_seldom(card: Gpu, handle: Any) -> dict[str, Any]:
    """What changes slowly. A list of processes takes milliseconds, in which it holds the driver's lock: the
    programs that are measured may have to wait for it."""
    return {
        "memory_bytes": memory_used_bytes(handle),
        "memory_bytes_by_pid": {str(process.pid): process.memory_bytes for process in processes(card)},
        "temperature_c": temperature_c(handle),
    }
