"""Batch shapes: which ones are made ready at load, which one a batch is padded to, and torch.compile or CUDA
graphs for them. So nothing is compiled or recorded while clients wait.

Knows tensors and shapes, no texts or images: those are padded in bert.py and resnet50.py.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import torch

from handlers.model.settings import SettingsError

Network = Callable[[torch.Tensor], torch.Tensor]
Shape = tuple[int, ...]

LOAD_LAZILY = ("cuda",)

# Before recording, CUDA's libraries must have chosen their kernels and allocated their workspaces.
RUNS_BEFORE_RECORDING = 3


def fit(size: int, ready: Sequence[int] | None) -> int:
    """The smallest of the ascending sizes in `ready` that holds `size`; `size` itself where none does."""
    if ready is None:
        return size
    at = bisect_left(ready, size)
    return ready[at] if at < len(ready) else size


def portions(count: int, ready: Sequence[int] | None) -> list[tuple[int, int]]:
    """`count` inputs as forward passes of (inputs, rows): at most the largest ready size each, and filled up
    to a ready one. A single pass without filling where `ready` is None."""
    most = ready[-1] if ready else count
    taken = [min(most, count - start) for start in range(0, count, most)]
    return [(inputs, fit(inputs, ready)) for inputs in taken]


def doubling(largest: int, *, smallest: int = 1) -> tuple[int, ...]:
    """`smallest`, twice that, and so on, `largest` the last: every size is less than doubled by padding."""
    sizes = []
    while smallest < largest:
        sizes.append(smallest)
        smallest *= 2
    return (*sizes, largest)


def make_ready(network: Network, examples: Sequence[torch.Tensor], how: str) -> Network:
    """`network`, compiled (torch_compile) or recorded (cuda_graphs) for the shapes of `examples`, or as it
    is (none), and run once, so that the first client doesn't wait for what torch and CUDA do at first.

    `examples` are valid inputs on the network's device. Other shapes run as they would without. Raises
    SettingsError where compiling or recording fails.
    """
    largest_first = sorted(examples, key=torch.Tensor.numel, reverse=True)
    if how == "none":
        _run(network, largest_first[-1])
        return network
    try:
        fast = (
            _compiled(network, largest_first) if how == "torch_compile" else _recorded(network, largest_first)
        )
    except Exception as error:  # the compiler's errors have many types
        raise SettingsError(_why_not(how, error)) from error
    ready = {tuple(example.shape) for example in examples}

    def choose(inputs: torch.Tensor) -> torch.Tensor:
        return fast(inputs) if tuple(inputs.shape) in ready else network(inputs)

    return choose


def warm_up(networks: Sequence[Network], examples: Iterable[torch.Tensor]) -> None:
    """On a GPU, runs each network on each example: CUDA loads a kernel when it is first needed, and the one
    of the largest batch is not that of the smallest. What does not fit into memory is left to the day when it
    is served; what it took is given back."""
    for example in examples:
        if example.device.type in LOAD_LAZILY:
            for network in networks:
                with suppress(torch.OutOfMemoryError):
                    _run(network, example)
    torch.cuda.empty_cache()


def _compiled(network: Network, examples: Sequence[torch.Tensor]) -> Network:
    """One program for all shapes: compiling for each would take minutes."""
    compiled: Network = torch.compile(network, dynamic=True)
    for example in examples:
        _run(compiled, example)
    return compiled


def _recorded(network: Network, examples: Sequence[torch.Tensor]) -> Network:
    """A CUDA graph for each shape. They share their memory: a result is copied before the next one runs."""
    if examples[0].device.type != "cuda":
        raise ValueError("CUDA graphs are for GPUs, this worker has none")
    graphs: dict[Shape, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}
    pool: Any = torch.cuda.graph_pool_handle()
    for example in examples:
        inputs = example.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(RUNS_BEFORE_RECORDING):
                _run(network, inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph, pool=pool):
            output = network(inputs)
        graphs[tuple(example.shape)] = graph, inputs, output

    def replay(given: torch.Tensor) -> torch.Tensor:
        graph, inputs, output = graphs[tuple(given.shape)]
        inputs.copy_(given, non_blocking=True)
        graph.replay()
        return output.clone()

    return replay


@torch.inference_mode()
def _run(network: Network, example: torch.Tensor) -> None:
    network(example)


def _why_not(how: str, error: Exception) -> str:
    told = next(iter(str(error).strip().splitlines()), type(error).__name__)
    needs = "a C++ compiler on a CPU, triton on a GPU" if how == "torch_compile" else "a GPU"
    return f"handler.compile: {how} failed: {told}. It needs {needs}; `none` always works"
