"""The device of a worker, and how torch calculates and copies there: precision, threads, share of the GPU.

What is asked for and can't be had is refused with a reason, never replaced by something slower or less exact:
a result under a wrong name would be worse than none. No models here (runtime.py), no shapes (shapes.py).
"""

import os
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from handlers.model.settings import SettingsError

# What NVIDIA's MPS reads when a process first uses CUDA: percent of the multiprocessors it may occupy.
THREAD_PERCENTAGE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

# Both came with Ampere, compute capability 8.0; before it bf16 is emulated and tf32 ignored.
FROM_AMPERE = ("tf32", "bf16")


class DeviceError(Exception):
    """A worker whose device can't do what is asked of it: one line with cause and remedy.

    No RuntimeError: TorchServe takes one that mentions CUDA for exhausted memory.
    """


def device_of(gpu_id: int | None) -> torch.device:
    """The GPU that TorchServe dealt to this worker, the CPU where it dealt none.

    Raises DeviceError where a GPU was dealt and torch can't use it.
    """
    if gpu_id is None:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"TorchServe dealt this worker GPU {gpu_id}, but {_why_no_cuda()}; "
            "to serve on the CPU all the same, set number_of_gpu=0 in config.properties"
        )
    if gpu_id >= torch.cuda.device_count():
        raise DeviceError(
            f"TorchServe dealt this worker GPU {gpu_id}, torch sees {torch.cuda.device_count()}: set "
            "number_of_gpu in config.properties to that"
        )
    device = torch.device("cuda", gpu_id)
    # Else pinned memory and streams would open a second context on the first GPU.
    torch.cuda.set_device(device)
    return device


def use_share(percentage: int | None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit this process to a share of the GPU, unless who started the server has said so already.

    Has an effect under MPS only, and only before CUDA starts here. Raises SettingsError where it comes late.
    """
    if percentage is None or THREAD_PERCENTAGE in environment:
        return
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise SettingsError(
            f"handler.thread_percentage comes too late: CUDA runs already; set {THREAD_PERCENTAGE} outside"
        )
    environment[THREAD_PERCENTAGE] = str(percentage)


def use_cores(cores: Sequence[int] | None) -> None:
    """Keep this process, all its threads, to these cores of the CPU, with as many threads of torch.

    Raises DeviceError where it may not use them all.
    """
    if cores is None:
        return
    if missing := sorted(set(cores) - os.sched_getaffinity(0)):
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise DeviceError(f"handler.cores: core {missing[0]} can't be used here, only {usable}")
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), cores)
    torch.set_num_threads(len(cores))


def use_threads(threads: int | None) -> None:
    """Set torch's threads, unless who started the server has said so in OMP_NUM_THREADS: torch obeys that."""
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


def use_precision(precision: str, device: torch.device) -> torch.dtype:
    """The type of weights and activations, with torch set to calculate in it and in no other.

    Raises DeviceError where `device` has no arithmetic for it.
    """
    if device.type == "cpu":
        _refuse_on_cpu(precision)
    else:
        _refuse_on_old_gpu(precision, device)
        # Left alone, convolutions would use tf32 for fp32.
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return DTYPES[precision]


def use_attention(compiled: str, device: torch.device) -> None:
    """Leave cuDNN's attention to shapes that are made ready at load: it plans a kernel for every new one.

    On an H200 (BERT-base, fp16, torch 2.11) the first batch of a shape took 46 to 53 ms with it and 5 to 18
    without, in some cases 0.8 s, and every later one 4.9 ms instead of 4.5.
    """
    if device.type == "cuda" and compiled == "none":
        torch.backends.cuda.enable_cudnn_sdp(False)


def host_buffer(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Uninitialised memory on the host for what goes to `device`; pinned where that is a GPU."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A host tensor -> the same on `device`, without waiting for the copy to end. On the CPU: itself."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _why_no_cuda() -> str:
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return f"torch {torch.__version__} is a build for CPUs only: install one with CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return f"torch can't use CUDA: {_first_line(error)}"
    return "torch sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"


def _refuse_on_cpu(precision: str) -> None:
    if precision == "tf32":
        raise DeviceError("tf32 is arithmetic of NVIDIA GPUs, this worker has none: choose fp32 or bf16")
    if precision == "fp16":
        raise DeviceError("fp16 is for GPUs, CPUs calculate in bf16 or fp32: choose one of these")


def _refuse_on_old_gpu(precision: str, device: torch.device) -> None:
    major, minor = torch.cuda.get_device_capability(device)
    if precision in FROM_AMPERE and major < 8:
        raise DeviceError(
            f"{precision} needs compute capability 8.0, {torch.cuda.get_device_name(device)} has "
            f"{major}.{minor}: choose fp16 or fp32"
        )


def _first_line(error: Any) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
