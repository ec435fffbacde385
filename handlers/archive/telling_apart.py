"""Random weights that tell inputs apart, so that a wrong answer differs from a right one.

As they are drawn, a ResNet50 gives one label all of the probability whatever the picture, and a BERT's
answers differ in the second decimal. So the last layer gets the mean and the spread of its inputs folded in,
as a batch normalisation would do: over a few examples each label's logit is 0 on average, the spread is 2.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn.functional import interpolate

SPREAD = 2.0
EXAMPLES = 32
PATCHES = 7  # colours along each side of an example picture, blurred into each other


@torch.inference_mode()
def tell_texts_apart(folder: Path, texts: Sequence[str]) -> None:
    """Of the text classifier in `folder`, with its tokenizer: changes its last layer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(
        list(texts[:EXAMPLES]), padding=True, truncation=True, max_length=64, return_tensors="pt"
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    _tell_apart(model, dict(tokens), folder)


@torch.inference_mode()
def tell_images_apart(folder: Path, seed: int) -> None:
    """Of the image classifier in `folder`: changes its last layer."""
    drawn = torch.Generator().manual_seed(seed)
    colours = torch.rand(EXAMPLES, 3, PATCHES, PATCHES, generator=drawn) * 4 - 2  # as normalised pixels are
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    _tell_apart(model, {"pixel_values": interpolate(colours, (224, 224), mode="bilinear")}, folder)


def _tell_apart(model: Any, examples: dict[str, torch.Tensor], folder: Path) -> None:
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    with last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0])):
        model.eval()(**examples)
    inputs = seen[0]
    weights = last.weight / inputs.std(0).clamp(min=1e-6)
    weights *= SPREAD / ((inputs - inputs.mean(0)) @ weights.T).std()
    last.weight.copy_(weights)
    last.bias.copy_(-weights @ inputs.mean(0))
    model.save_pretrained(folder)
