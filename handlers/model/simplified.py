"""Exact short cuts for whole models, on any device: the same answers to rounding, with less arithmetic.

Each is applied once at load, to a model as transformers made it. What is peculiar to CPUs is packed.py.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Encoders whose layers are built like BERT's. ALBERT repeats one layer, so its last one can't differ.
BUILT_LIKE_BERT = ("bert", "camembert", "electra", "roberta", "xlm-roberta")


def read_first_token_only(model: Any) -> None:
    """Let the last layer of a text classifier compute the first token only: its head reads no other.

    All tokens are still attended to. Of the 12 h^2 weights that a layer multiplies each token by, only those
    of keys and values remain, 2 h^2: that saves 14 % of the arithmetic of six layers, 7 % of that of twelve.
    """
    if model.config.model_type in BUILT_LIKE_BERT:
        layers = model.base_model.encoder.layer
        layers[-1] = _LastBertLayer(layers[-1])
    elif model.config.model_type == "distilbert":
        layers = model.base_model.transformer.layer
        layers[-1] = _LastDistilBertLayer(layers[-1])


def drop_pooler(model: Any) -> None:
    """Leave out the layer that some encoders put behind the first token: embeddings don't read it."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None


def fold_normalization(model: Any) -> None:
    """Fold each batch normalisation of a ResNet into the convolution before it: both only scale and shift."""
    for block in model.modules():
        if isinstance(getattr(block, "normalization", None), nn.BatchNorm2d):
            block.convolution = fuse_conv_bn_eval(block.convolution, block.normalization)
            block.normalization = nn.Identity()


class _LastBertLayer(nn.Module):
    """n x tokens x hidden -> n x 1 x hidden."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> torch.Tensor:
        attention = self.layer.attention.self
        first = hidden[:, :1]
        attended = _attend(
            [attention.query(first), attention.key(hidden), attention.value(hidden)],
            attention.attention_head_size,
            mask,
        )
        output: torch.Tensor = self.layer.feed_forward_chunk(self.layer.attention.output(attended, first))
        return output


class _LastDistilBertLayer(nn.Module):
    """n x tokens x hidden -> n x 1 x hidden."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> torch.Tensor:
        layer, attention = self.layer, self.layer.attention
        first = hidden[:, :1]
        attended = _attend(
            [attention.q_lin(first), attention.k_lin(hidden), attention.v_lin(hidden)],
            attention.attention_head_size,
            mask,
        )
        between = layer.sa_layer_norm(attention.out_lin(attended) + first)
        output: torch.Tensor = layer.output_layer_norm(layer.ffn(between) + between)
        return output


def _attend(projected: Sequence[torch.Tensor], head_size: int, mask: torch.Tensor | None) -> torch.Tensor:
    """Query, keys and values of hidden size -> what the queries find, n x queries x hidden."""
    query, key, value = (
        tensor.view(*tensor.shape[:2], -1, head_size).transpose(1, 2) for tensor in projected
    )
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return found.transpose(1, 2).flatten(2)
