"""A worker whose GPU context is lost ends itself; one that met any other error goes on."""

import subprocess
import sys
import textwrap

import pytest
import torch

from experiments.base.paths import ROOT
from experiments.measure import trial
from handlers.model import lost

CUDA = torch.device("cuda", 0)
FAULT = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously ..."


@pytest.mark.thorough
def test_a_worker_with_a_lost_context_ends_with_a_line() -> None:
    program = f"""
        import torch
        from handlers.model import lost
        lost.is_lost = lambda device: True
        with lost.ending_with_its_context(torch.device("cuda", 0)):
            raise torch.AcceleratorError({FAULT!r})
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == lost.EXIT_CODE
    assert done.stderr == (
        "the context on cuda:0 is lost: this worker ends itself "
        "(CUDA error: an illegal memory access was encountered)\n"
    )


@pytest.mark.parametrize(
    ("device", "error", "is_lost"),
    [
        (torch.device("cpu"), RuntimeError(FAULT), True),
        (CUDA, torch.OutOfMemoryError("CUDA out of memory"), True),
        (CUDA, RuntimeError("shapes differ"), False),
        (CUDA, ValueError("CUDA"), True),
    ],
)
def test_any_other_error_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, error: Exception, is_lost: bool
) -> None:
    monkeypatch.setattr(lost, "is_lost", lambda device: is_lost)
    with pytest.raises(type(error)), lost.ending_with_its_context(device):
        raise error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_device_that_works_is_not_lost() -> None:
    assert not lost.is_lost(CUDA)


def test_a_trial_knows_its_last_words() -> None:
    assert trial.LAST_WORDS == lost.LAST_WORDS
