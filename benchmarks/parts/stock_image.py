"""An image classifier that works as TorchServe's own `image_classifier` does, re-created without torchvision.

Each image by itself: Pillow decodes it whole, its shorter side is scaled to 256 (bilinear), 224 x 224 are cut
from the middle, made a float tensor and normalised step by step; then all are stacked. Its base class,
inference mode and fp32 are kept too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import ResNetForImageClassification
from ts.torch_handler.base_handler import BaseHandler  # type: ignore[import-untyped]

SHORTER_SIDE = 256
EDGE = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
TOP_K = 5


class StockImageClassifier(BaseHandler):  # type: ignore[misc]
    """`handle` and `inference` are the base class's."""

    def initialize(self, context: Any) -> None:
        """Load the model from the archive."""
        folder = context.system_properties["model_dir"]
        self.manifest = context.manifest
        self.device = torch.device("cpu")
        self.model = ResNetForImageClassification.from_pretrained(folder).to(self.device).eval()
        self.initialized = True

    def preprocess(self, requests: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """n requests -> n x 3 x 224 x 224."""
        images = []
        for request in requests:
            image = Image.open(io.BytesIO(request.get("data") or request["body"]))
            images.append(normalise(to_tensor(crop_middle(scale(image)))))
        return torch.stack(images).to(self.device)

    def postprocess(self, output: Any) -> list[dict[str, float]]:
        """Logits -> the probabilities of the five most probable labels of each image."""
        probabilities = torch.softmax(output.logits, dim=1)
        values, indices = torch.topk(probabilities, TOP_K, dim=1)
        names = self.model.config.id2label
        return [
            {names[index]: value for index, value in zip(row, column, strict=True)}
            for row, column in zip(indices.tolist(), values.tolist(), strict=True)
        ]


def scale(image: Image.Image) -> Image.Image:
    """The shorter side to 256, the other one in proportion, its fraction dropped."""
    factor = SHORTER_SIDE / min(image.size)
    width, height = (SHORTER_SIDE if side == min(image.size) else int(side * factor) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def crop_middle(image: Image.Image) -> Image.Image:
    """224 x 224 from the middle."""
    left, upper = (round((side - EDGE) / 2) for side in image.size)
    return image.crop((left, upper, left + EDGE, upper + EDGE))


def to_tensor(image: Image.Image) -> torch.Tensor:
    """8-bit pixels, height x width x 3 -> floats from 0 to 1, 3 x height x width."""
    pixels = torch.from_numpy(np.array(image, copy=True))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Subtract the mean and divide by the standard deviation of ImageNet's channels."""
    mean = torch.tensor(MEAN).view(-1, 1, 1)
    std = torch.tensor(STD).view(-1, 1, 1)
    return pixels.clone().sub_(mean).div_(std)
