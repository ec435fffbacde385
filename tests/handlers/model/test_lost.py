"""A worker whose CUDA context is dead ends; one that only failed, or ran out of memory, lives on."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from experiments.base.paths import ROOT
from experiments.serving.torchserve import WORKERS_LAST_WORDS
from handlers.bert import BertHandler
from handlers.embeddings import EmbeddingsHandler
from handlers.model import lost
from handlers.model.runtime import Runtime
from handlers.model.settings import settings_of
from handlers.request.tally import Tally
from handlers.resnet50 import ResNet50Handler
from tests.support.worker import a_context, handle

FAULT = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later"
GPU = torch.device("cuda", 0)

# As torch does after a fault: every call raises the same again. `{dead}`: whether it is one that stays.
PROGRAM = """
import torch
from handlers.model import lost

def fail(*_):
    raise {error}

if {dead}:
    torch.cuda.synchronize = fail
else:
    torch.cuda.synchronize = lambda device: None
    torch.zeros = lambda *_, device: torch.ones(1)
try:
    with lost.ends_with_its_context(torch.device({device!r})):
        fail()
except RuntimeError:
    print("lives on")
"""


def run(error: str, dead: bool, device: str = "cuda:0") -> "subprocess.CompletedProcess[str]":
    program = PROGRAM.format(error=error, dead=dead, device=device)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("error", [f"torch.AcceleratorError({FAULT!r})", f"RuntimeError({FAULT!r})"])
def test_a_dead_context_ends_the_process_with_a_line(error: str) -> None:
    done = run(error, dead=True)
    assert done.returncode == lost.EXIT_CODE
    assert done.stdout == (
        "This worker ends itself: its CUDA context is dead "
        "(CUDA error: an illegal memory access was encountered)\n"
    )
    assert done.stdout.startswith(WORKERS_LAST_WORDS)


@pytest.mark.parametrize(
    ("error", "dead", "device"),
    [
        ("RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED')", False, "cuda:0"),
        ("torch.OutOfMemoryError('CUDA out of memory')", False, "cuda:0"),
        ("RuntimeError('CUDA is only mentioned')", True, "cpu"),
    ],
)
def test_an_error_that_passes_is_torchserves_to_answer(error: str, dead: bool, device: str) -> None:
    assert run(error, dead, device).stdout == "lives on\n"


def test_a_full_gpu_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch, "zeros", full)
    assert not lost.is_dead(GPU)


@pytest.mark.parametrize("handler", [BertHandler(), EmbeddingsHandler(), ResNet50Handler()])
def test_each_handler_ends_with_its_context(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any) -> None:
        raise torch.AcceleratorError(FAULT)

    def end(code: int) -> None:
        raise SystemExit(code)

    handler.runtime = Runtime(None, GPU, settings_of({}, {}), ROOT, 8, Tally())
    handler.each = map
    handler.preprocess = fault
    handler.read_item = lambda value: value
    monkeypatch.setattr(torch.cuda, "synchronize", fault)
    monkeypatch.setattr(os, "_exit", end)
    context = a_context(ROOT, "image" if isinstance(handler, ResNet50Handler) else "text")
    with pytest.raises(SystemExit) as ended:
        handle(handler, context, [{"body": b"good"}])
    assert ended.value.code == lost.EXIT_CODE
