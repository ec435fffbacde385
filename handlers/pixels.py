"""A decoded image -> the square of bytes that the checkpoint asks for; bytes -> normalised floats.

What reads and decodes a client's image is payload.py; what runs the model is resnet50.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Recipe = Mapping[str, Any]  # preprocessor_config.json

# From this size on, the checkpoints' recipe scales the image to a square and crops nothing.
SQUARE_FROM_EDGE = 384


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Images ready for the model: rows x edge x edge x 3 bytes, of which the first `images` are real, and the
    rows of each forward pass. Only the last one has rows that fill it up: black ones."""

    pixels: torch.Tensor
    images: int
    passes: tuple[int, ...]


def resize_and_crop(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Scale the shorter side to edge / crop_pct, then cut the edge x edge in the middle."""
    edge: int = recipe["size"]["shortest_edge"]
    resample = Image.Resampling(recipe.get("resample", Image.Resampling.BICUBIC))
    if edge >= SQUARE_FROM_EDGE:
        return image.resize((edge, edge), resample)
    shorter = int(edge / recipe.get("crop_pct", 224 / 256))
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    left, top = (width - edge) // 2, (height - edge) // 2
    return image.resize((width, height), resample).crop((left, top, left + edge, top + edge))


def scale_and_shift(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """(byte x rescale - mean) / std as byte x scale + shift, for each colour."""
    mean, std = (torch.tensor(recipe[key], dtype=torch.float64) for key in ("image_mean", "image_std"))
    return (recipe.get("rescale_factor", 1 / 255) / std).float(), (-mean / std).float()
