"""A model read from a file and run by an engine, called like the model of transformers it was made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Graph:
    """What an engine made of the file: the names of what goes in, that of what comes out, and the pass."""

    inputs: tuple[str, ...]
    output: str
    run: Callable[[Arrays], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class GraphModel:
    """A Graph with the config of its checkpoint. CPU tensors go in and come out, whatever the precision in
    between: `dtype` is that of what goes in where it is no number of a token."""

    graph: Graph
    config: Any
    dtype: torch.dtype = torch.float32

    def __call__(self, **tensors: torch.Tensor) -> SimpleNamespace:
        """Tensors by the names of transformers -> an object with `logits` or `last_hidden_state`, fp32."""
        arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in tensors.items()}
        for name in self.graph.inputs:
            if name not in arrays:  # the types of tokens, which texts without a partner come without
                arrays[name] = np.zeros_like(arrays["input_ids"])
        return SimpleNamespace(**{self.graph.output: torch.from_numpy(self.graph.run(arrays))})
