"""The hidden states of a text's tokens -> one vector for the text, as the archive's chain says.

Runs in the worker, in fp32 whatever the model's precision: half precision would lose digits that it has.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import nn

from handlers.text.chain import Step, read_chain


@dataclass(frozen=True, slots=True)
class Pooling:
    """A chain, ready to run: the modes of pooling and the layers for the steps, on the worker's device."""

    modes: tuple[str, ...]
    prompt: str = ""
    layers: list[nn.Module] = field(default_factory=list)

    def vectors(self, hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Hidden states, n x tokens x size, of which `real` (n x tokens; None: all) count -> n x features,
        fp32. What isn't real stands behind what is."""
        pooled = [_POOL[mode](hidden, real) for mode in self.modes]
        vectors = pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=-1)
        for layer in self.layers:
            vectors = layer(vectors)
        return vectors


def pooling_of(folder: Path, otherwise: str, device: torch.device) -> Pooling:
    """What the archive's checkpoint says, and the mode `otherwise` where it says nothing of pooling."""
    chain = read_chain(folder)
    layers = [_layer(folder, step).to(device) for step in chain.steps]
    return Pooling(chain.pooling or (otherwise,), chain.prompt, layers)


class _Normalize(nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return F.normalize(vectors, dim=-1)


def _layer(folder: Path, step: Step) -> nn.Module:
    if step.kind == "normalize":
        return _Normalize()
    weights = load_file(folder / step.weights)
    outputs, inputs = weights["weight"].shape
    linear = nn.Linear(inputs, outputs, bias="bias" in weights)
    linear.load_state_dict(weights)
    return nn.Sequential(linear, getattr(nn, step.activation)()).eval().requires_grad_(False)


def _first(hidden: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
    return hidden[:, 0].float()


def _last(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    if real is None:
        return hidden[:, -1].float()
    last = (real.sum(1) - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, last)[:, 0].float()


def _mean(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    if real is None:
        return hidden.float().mean(1)
    weights = real.float()[:, :, None]
    return (hidden.float() * weights).sum(1) / weights.sum(1)


def _sum_by_root(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    weights = _weights(hidden, real)
    return (hidden.float() * weights).sum(1) / weights.sum(1).sqrt()


def _weighted_mean(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """The later a token, the more it counts: 1, 2, 3 …"""
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    weights = _weights(hidden, real) * places[None, :, None]
    return (hidden.float() * weights).sum(1) / weights.sum(1)


def _largest(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    if real is not None:
        hidden = hidden.masked_fill(~real[:, :, None], float("-inf"))
    return hidden.amax(1).float()


def _weights(hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """1 for the tokens that are real, 0 for the others: n x tokens x 1."""
    every = torch.ones(hidden.shape[:2], device=hidden.device) if real is None else real.float()
    return every[:, :, None]


# By sentence-transformers' names.
_POOL: dict[str, Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]] = {
    "mean": _mean,
    "cls": _first,
    "max": _largest,
    "mean_sqrt_len_tokens": _sum_by_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
