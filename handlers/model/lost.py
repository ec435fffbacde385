"""A GPU context that is lost: the worker ends itself, and TorchServe starts another.

A fault of a kernel leaves a context in which every later call fails; under MPS that of one client does so to
all clients of its server, which takes no new ones until all have gone. TorchServe answers 507 to whatever
raises an error with "CUDA" in it and keeps the worker (ts/service.py of 0.12.0): it would answer so for ever.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

EXIT_CODE = 75  # sysexits.h: a temporary failure, try again
LAST_WORDS = "this worker ends itself"


@contextmanager
def ending_with_its_context(device: torch.device) -> Iterator[None]:
    """Inside, an error that leaves the device unusable ends the process, after a line that says why. Any
    other, out of memory among them, is passed on."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cuda" and not isinstance(error, torch.OutOfMemoryError) and is_lost(device):
            first = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"the context on {device} is lost: {LAST_WORDS} ({first})", file=sys.stderr, flush=True)
            os._exit(EXIT_CODE)  # a tidy end would ask the device once more
        raise


def is_lost(device: torch.device) -> bool:
    """Does even the smallest work on the device fail?"""
    try:
        torch.zeros(1, device=device).add_(1)
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
    return False
