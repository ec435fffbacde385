"""Which device a worker gets, what it refuses, and what reaches CUDA and torch before they start."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from experiments.base.paths import ROOT
from handlers.model import devices
from handlers.model.devices import (
    DeviceError,
    device_of,
    host_buffer,
    send,
    use_attention,
    use_cores,
    use_precision,
    use_share,
    use_threads,
)
from handlers.model.settings import SettingsError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


class TestDevice:
    def test_is_the_cpu_where_no_gpu_was_dealt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked, which starts CUDA"))
        assert device_of(None) == CPU

    def test_is_the_gpu_that_was_dealt_and_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        current: list[torch.device] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        assert device_of(1) == GPU
        assert current == [GPU]
        with pytest.raises(DeviceError, match="GPU 2, torch sees 2: set number_of_gpu"):
            device_of(2)

    @pytest.mark.parametrize(
        ("cuda", "error", "told"),
        [
            (None, None, "is a build for CPUs only: install one with CUDA"),
            ("13.0", RuntimeError("Found no NVIDIA driver\nmore"), "can't use CUDA: Found no NVIDIA driver;"),
            ("13.0", None, "sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"),
        ],
    )
    def test_is_never_the_cpu_in_place_of_a_gpu(
        self, cuda: str | None, error: Exception | None, told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def init() -> None:
            if error:
                raise error

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "init", init)
        with pytest.raises(DeviceError, match=rf"dealt this worker GPU 1, but .*{told}.* number_of_gpu=0"):
            device_of(1)

    def test_errors_are_not_taken_for_exhausted_memory(self) -> None:
        # TorchServe's worker answers 507 to a RuntimeError that mentions CUDA.
        assert not issubclass(DeviceError, RuntimeError)


class TestPrecision:
    def test_of_a_cpu_is_fp32_or_bf16(self) -> None:
        assert use_precision("fp32", CPU) == torch.float32
        assert use_precision("bf16", CPU) == torch.bfloat16

    @pytest.mark.parametrize("precision", ["tf32", "fp16"])
    def test_that_a_cpu_lacks_is_refused_with_the_choice(self, precision: str) -> None:
        with pytest.raises(DeviceError, match=rf"{precision} is .* choose"):
            use_precision(precision, CPU)

    @pytest.mark.parametrize(
        ("precision", "dtype", "matmul"),
        [
            ("fp32", torch.float32, "highest"),
            ("tf32", torch.float32, "high"),
            ("fp16", torch.float16, "highest"),
            ("bf16", torch.bfloat16, "highest"),
        ],
    )
    def test_of_a_gpu_is_exactly_what_was_asked_for(
        self, precision: str, dtype: torch.dtype, matmul: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
        assert use_precision(precision, GPU) == dtype
        assert asked == [matmul]
        assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")

    @pytest.mark.parametrize("precision", ["tf32", "bf16"])
    def test_that_an_old_gpu_lacks_is_refused(self, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
        with pytest.raises(DeviceError, match=rf"{precision} needs compute capability 8.0, Tesla T4 has 7.5"):
            use_precision(precision, GPU)


class TestShareOfTheGpu:
    def test_is_set_before_cuda_starts(self) -> None:
        environment: dict[str, str] = {}
        use_share(25, environment)
        assert environment == {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25"}

    def test_yields_to_who_started_the_server(self) -> None:
        environment = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}
        use_share(25, environment)
        assert environment == {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}

    def test_is_left_alone_unless_asked_for(self) -> None:
        environment: dict[str, str] = {}
        use_share(None, environment)
        assert environment == {}

    def test_that_comes_too_late_stops_the_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        with pytest.raises(SettingsError, match="CUDA runs already"):
            use_share(25, {})


class TestThreads:
    @pytest.mark.parametrize(("environment", "expected"), [(None, [3]), ("2", [])])
    def test_yield_to_the_environment(
        self, environment: str | None, expected: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(torch, "set_num_threads", asked.append)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if environment:
            monkeypatch.setenv("OMP_NUM_THREADS", environment)
        use_threads(3)
        assert asked == expected


class TestTransfers:
    def test_on_a_cpu_copy_nothing(self) -> None:
        buffer = host_buffer((2, 3), torch.uint8, CPU)
        assert send(buffer, CPU) is buffer

    def test_to_a_gpu_leave_from_pinned_memory_and_do_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: asked.append("pinned") or tensor)
        monkeypatch.setattr(torch.Tensor, "to", lambda *_, **how: asked.append(how))
        devices.send(torch.zeros(2), GPU)
        assert asked == ["pinned", {"non_blocking": True}]


class TestAttention:
    """cuDNN's plans a kernel for every new shape, on a GPU that is asked for none in advance."""

    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        before = torch.backends.cuda.cudnn_sdp_enabled()
        torch.backends.cuda.enable_cudnn_sdp(True)
        yield
        torch.backends.cuda.enable_cudnn_sdp(before)

    @pytest.mark.parametrize(
        ("compiled", "device", "kept"),
        [("none", GPU, False), ("cuda_graphs", GPU, True), ("torch_compile", GPU, True), ("none", CPU, True)],
    )
    def test_is_not_cudnns_where_shapes_come_as_they_like(
        self, compiled: str, device: torch.device, kept: bool
    ) -> None:
        use_attention(compiled, device)
        assert torch.backends.cuda.cudnn_sdp_enabled() is kept


@pytest.mark.thorough
def test_cores_hold_for_every_thread_of_the_process() -> None:
    program = """
import os, threading, torch
from pathlib import Path
from handlers.model.devices import use_cores
threading.Thread(target=threading.Event().wait, daemon=True).start()
core = min(os.sched_getaffinity(0))
use_cores([core])
threads = [os.sched_getaffinity(int(each.name)) for each in Path("/proc/self/task").iterdir()]
print(len(threads) > 1, all(cores == {core} for cores in threads), torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True True 1\n", done.stderr


def test_a_core_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"handler.cores: core 9999 can't be used here, only "):
        use_cores([9999])
