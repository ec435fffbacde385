"""Are this GPU's products right? Asked at load, of the products that the model's own batches consist of.

On Hopper, cuBLAS leaves part of a half-precision product unwritten where MPS holds the process to certain
shares of the multiprocessors, and returns success (docs/on-an-h200.md): such a worker would answer fast, and
wrongly. Which products are wrong differs by share and by shape, so the model's own are tried, layer by layer.

A product is checked as Freivalds did (1977): with a random vector, out = x W is right where out v = x (W v),
at the cost of a matrix by a vector, which is calculated in float32 and was right at every share.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.functional import conv2d, linear
from torch.overrides import TorchFunctionMode

from handlers.model.devices import DeviceError
from handlers.model.shapes import Network

DEVICES = ("cuda",)
HALF = (torch.float16, torch.bfloat16)
LARGEST_ERROR = 0.05  # of a row, relative; the worst of bf16's is near 0.01, one without a tile is far above
CHECKED = (linear, conv2d)


def refuse_wrong_products(
    network: Network, examples: Iterable[torch.Tensor], device: torch.device, dtype: torch.dtype
) -> None:
    """Has `network` answer `examples`, inputs on `device`, and checks each of its products once per shape.

    Does nothing on a CPU, or in a precision that no report of wrong products names. Raises DeviceError.
    """
    if device.type not in DEVICES or dtype not in HALF:
        return
    if wrong := wrong_product(network, examples):
        count = torch.cuda.get_device_properties(device).multi_processor_count
        raise DeviceError(
            f"{wrong} on {torch.cuda.get_device_name(device)} with {count} multiprocessors: this share of it "
            "gives wrong answers in half precision; take all of it or another share (25 and 50 % were right "
            "on an H200), or HANDLER_PRECISION=tf32"
        )


@torch.inference_mode()
def wrong_product(network: Network, examples: Iterable[torch.Tensor]) -> str | None:
    """The first wrong product of the network's passes over `examples`, in words; None: all are right."""
    checking = _Checking()
    with checking:
        for example in examples:
            network(example)
            if checking.wrong:
                break
    return checking.wrong


class _Checking(TorchFunctionMode):
    """Looks at every linear layer and convolution; one of each shape is calculated twice and checked."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: str | None = None
        self._seen: set[tuple[object, ...]] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        if func not in CHECKED or self.wrong:
            return found
        inputs, weights, *_ = args
        shape = (func, inputs.shape, weights.shape, inputs.stride())
        if shape not in self._seen:
            self._seen.add(shape)
            found.fill_(torch.nan)
            del found  # its memory is the next result's: what a kernel leaves unwritten is NaN there
            found = func(*args, **kwargs)
            if (error := _error(func, found, args, kwargs)) > LARGEST_ERROR:
                name = "a product" if func is linear else "a convolution"
                sizes = " by ".join("x".join(map(str, one.shape)) for one in (inputs, weights))
                self.wrong = f"{name} of {sizes} is off by {error:.2g}, relative,"
        return found


def _error(func: Callable[..., Any], found: torch.Tensor, args: Any, kwargs: dict[str, Any]) -> float:
    """How far the worst row (of a convolution: pixel) is from what it should be, relative to the rows' norm;
    infinite where something is unwritten."""
    inputs, weights, *rest = args
    bias = rest[0] if rest else kwargs.get("bias")
    random = torch.Generator().manual_seed(0)
    signs = (torch.randint(0, 2, (len(weights),), generator=random) * 2.0 - 1).to(found.device)
    mixed = torch.tensordot(signs, weights.float(), dims=1)
    offset = 0.0 if bias is None else signs @ bias.float()
    if func is linear:
        rows, expected = found.float(), inputs.float() @ mixed
    else:
        others = {key: value for key, value in kwargs.items() if key not in ("bias", "input", "weight")}
        rows = found.float().movedim(1, -1)
        expected = conv2d(inputs.float(), mixed[None], None, *rest[1:], **others)[:, 0]
    norm = rows.square().sum(-1).mean().sqrt()
    error = (rows @ signs - expected - offset).abs().max() / norm
    return float(error.nan_to_num(nan=torch.inf)) if norm else 0.0
