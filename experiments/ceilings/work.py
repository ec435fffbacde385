"""What a forward pass consists of: floating-point operations, bytes of weights, bytes of activations.

Counted while the model runs, so it needs torch and a loaded model; bare_loop.py calls it in its process.
What follows from the counts lives in roofline.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

PRECISION_NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


class _Notes:
    """What the hooks see: the layers that multiplied by weights, their weights and outputs."""

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}
        self.output_bytes = 0
        self.dtype: torch.dtype | None = None

    def note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """A hook for every module's end."""
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Embedding) or not isinstance(output, torch.Tensor):
            return
        self.weights |= {id(parameter): parameter for parameter in own}
        if any(parameter.ndim > 1 for parameter in own):
            self.output_bytes += output.nbytes
            self.dtype = output.dtype


def count(forward: Callable[..., object], inputs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The work of each of `inputs`, a list of the calls of `forward` that it takes, alone in its batch.

    Means over the inputs: `flop` (2 per multiply-add; products, convolutions and attention only, as
    torch.utils.flop_counter counts) and `activation_bytes`: the outputs of the layers with weight matrices,
    written once and read once; what stands between them can be fused into them. `weight_bytes`: what those
    layers and the norms hold, each read once a batch; of embeddings only a few rows are read, so they don't
    count. `precision`: that of the layers' outputs, None where no layer was seen.
    """
    notes = _Notes()
    hook = register_module_forward_hook(notes.note)
    try:
        found = [_count_one(forward, calls, notes) for calls in inputs]
    finally:
        hook.remove()
    return {
        "flop": sum(flop for flop, _ in found) / len(found),
        "activation_bytes": 2 * sum(size for _, size in found) / len(found),
        "weight_bytes": sum(weight.nbytes for weight in notes.weights.values()),
        "precision": _precision(notes.dtype),
    }


def _count_one(forward: Callable[..., object], calls: Sequence[Any], notes: _Notes) -> tuple[int, int]:
    notes.output_bytes = 0
    # The counter does not know the attention kernel of the CPU; written out, it is two products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        for args, kwargs in calls:
            forward(*args, **kwargs)
    return counter.get_total_flops(), notes.output_bytes


def _precision(dtype: torch.dtype | None) -> str | None:
    if dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32:
        return "tf32"
    return None if dtype is None else PRECISION_NAMES.get(dtype, str(dtype))
