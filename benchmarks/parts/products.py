"""The program beside answers_under_shares.py: products on the GPU against the CPU's, as one JSON line.

Matrix products and convolutions of BERT-base's and ResNet50's shapes, in every precision. Memory that a
result is going to lie in is filled with NaN first, so that what a kernel leaves unwritten shows.
"""

import json
import math
from collections.abc import Callable, Iterator

import torch
from torch.nn.functional import conv2d, linear

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# rows, inputs, outputs. The first is the one that public reports of unwritten output use.
PRODUCTS = ((512, 1024, 1024), (1024, 768, 768), (1024, 768, 3072), (1024, 3072, 768), (32, 768, 768))
# images, channels, edge, channels of the result: ResNet50's convolutions of one pixel.
CONVOLUTIONS = (
    (8, 64, 56, 256),
    (8, 256, 56, 128),
    (8, 512, 28, 256),
    (8, 1024, 14, 2048),
    (8, 2048, 7, 512),
)

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def main() -> None:
    torch.manual_seed(0)
    device = torch.device("cuda")
    told = {
        "multiprocessors": torch.cuda.get_device_properties(device).multi_processor_count,
        "relative_errors": {
            f"{precision} {name}": _error(operation, left, right, precision)
            for name, operation, left, right in _operations()
            for precision in DTYPES
        },
    }
    print(json.dumps(told))


def _operations() -> Iterator[tuple[str, Operation, torch.Tensor, torch.Tensor]]:
    for rows, inputs, outputs in PRODUCTS:
        name = f"product {rows}x{inputs}x{outputs}"
        yield name, linear, torch.randn(rows, inputs), torch.randn(outputs, inputs) / inputs**0.5
    for images, channels, edge, results in CONVOLUTIONS:
        name = f"convolution {images}x{channels}x{edge}x{edge} to {results}"
        weights = torch.randn(results, channels, 1, 1) / channels**0.5
        yield name, conv2d, torch.randn(images, channels, edge, edge), weights


def _error(operation: Operation, left: torch.Tensor, right: torch.Tensor, precision: str) -> float | None:
    """How far the GPU's result is from the CPU's in float64, relative to its norm; None where unwritten."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    dtype = DTYPES[precision]
    left, right = left.to(dtype), right.to(dtype)
    expected = operation(left.double(), right.double())
    on_gpu = left.cuda(), right.cuda()
    # The allocator hands the freed block to the next tensor of that size.
    torch.full(expected.shape, torch.nan, dtype=dtype, device="cuda")
    found = operation(*on_gpu).cpu().double()
    error = float((found - expected).norm() / expected.norm())
    return None if math.isnan(error) else error


if __name__ == "__main__":
    main()
