"""The handlers on a real GPU: the CPU's answers in every precision, compiled or not; one wait a batch."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.watch.counters import read_multiprocessors
from handlers.bert import BertHandler
from handlers.model.devices import FROM_AMPERE
from handlers.request.tally import VARIABLE
from handlers.resnet50 import ResNet50Handler
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.worker import a_context

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

TEXTS = ["so good " * repeats for repeats in (1, 1, 2, 5, 20)] + ["rain " * 200]
IMAGES = list(np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8))
SHAPES = {"batch_sizes": [1, 4]}
C_COMPILER = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")  # where triton looks
TOLERANCE = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 2e-2, "bf16": 2e-2}

Loaded = tuple[Any, list[Any]]  # a handler, and items for it


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "text": tiny_bert(tmp_path_factory.mktemp("bert"), spread=0.2),
        "image": tiny_resnet(tmp_path_factory.mktemp("resnet"), edge=64),
    }


def load(folders: dict[str, Path], kind: Any, gpu_id: int | None, **settings: Any) -> Loaded:
    handler: Any = BertHandler() if kind == "text" else ResNet50Handler()
    handler.initialize(a_context(folders[kind], kind, gpu_id, **settings))
    return handler, TEXTS if kind == "text" else IMAGES


@pytest.mark.parametrize("compiled", ["none", "torch_compile", "cuda_graphs"])
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", ["text", "image"])
def test_answers_are_the_cpus(folders: dict[str, Path], kind: str, precision: str, compiled: str) -> None:
    if precision in FROM_AMPERE and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"{precision} needs compute capability 8.0, {torch.cuda.get_device_name()} has less")
    if compiled == "torch_compile" and not C_COMPILER:
        pytest.skip("torch_compile needs a C compiler on a GPU, for triton: gcc or clang")
    reference, items = load(folders, kind, None, tuned=False)
    handler, _ = load(folders, kind, 0, precision=precision, compile=compiled, shapes=SHAPES)
    for count in range(1, len(items) + 1):
        expected = reference.forward(reference.preprocess(items[:count]))
        found = handler.forward(handler.preprocess(items[:count]))
        assert found.device.type == "cpu"
        assert (found - expected).abs().max() < TOLERANCE[precision]


def test_a_worker_tells_its_multiprocessors(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    load(folders, "text", 0)
    whole = torch.cuda.get_device_properties(0).multi_processor_count
    assert read_multiprocessors(tmp_path, [os.getpid()]) == [whole]


@pytest.mark.parametrize("compiled", ["none", "cuda_graphs"])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_batch_waits_for_the_gpu_once(folders: dict[str, Path], kind: str, compiled: str) -> None:
    handler, items = load(folders, kind, 0, compile=compiled, shapes=SHAPES)
    handler.forward(handler.preprocess(items))
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            handler.forward(handler.preprocess(items))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([warning for warning in caught if "synchroniz" in str(warning.message)]) == 1
