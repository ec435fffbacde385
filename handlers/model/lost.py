"""A worker whose CUDA context is dead ends itself, so that TorchServe starts another one.

After a fault of the GPU (an illegal access, a lost card, an MPS server that failed) every later call of this
process fails too. TorchServe 0.12.0 takes any error that mentions CUDA for exhausted memory: it answers 507 and
lets the worker live, for ever. Under MPS the server waits for all its clients to leave before it recovers.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What the line in the log begins with that says why; experiments/serving/torchserve.py looks for it.
LAST_WORDS = "This worker ends itself: "
EXIT_CODE = 70


@contextmanager
def ends_with_its_context(device: torch.device) -> Iterator[None]:
    """Ends this process, without answering its batch, where what is inside fails and `device` is dead
    afterwards. Any other error passes: of a request, of memory that ran out, on a CPU."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cuda" and is_dead(device):
            cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
            print(f"{LAST_WORDS}its CUDA context is dead ({cause})", flush=True)
            os._exit(EXIT_CODE)  # nothing of CUDA could be cleaned up any more, and sys.exit can be caught
        raise


def is_dead(device: torch.device) -> bool:
    """Whether the GPU does nothing more for this process. One without free memory is not dead."""
    try:
        torch.cuda.synchronize(device)
        torch.zeros(1, device=device).add_(1)
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
    return False
