"""A decoded image -> the square of bytes that the checkpoint asks for; bytes -> normalised floats.

What reads and decodes a client's image is payload.py; what runs the model is resnet50.py.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import ceil, floor
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from handlers.request.payload import decode, draft

Pixels = NDArray[np.uint8]
Recipe = Mapping[str, Any]  # preprocessor_config.json

# From this size on, the checkpoints' recipe scales the image to a square and crops nothing.
SQUARE_FROM_EDGE = 384

# A JPEG is decoded to no less than so many times the size it is scaled to. Measured with 2000 x 1500 pixels:
# at 1 the scaled ones differ by up to 13 of 255 from those of the whole image, at 2 by up to 3; decoding and
# scaling take 5.6 ms or 8.7, not 20.5.
SPARE = 2

# Pillow 13 resizes taller images than this (height to width) vertically first, all others horizontally.
TALL = 2

# From this size on an image is large: 16 MB in memory, and as much again while its colours are converted.
LARGE_PIXELS = 4_000_000

# Half the width of Lanczos, the widest of Pillow's filters, and a pixel for rounding.
WIDEST_FILTER = 4

_large = Lock()


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Images ready for the model: rows x edge x edge x 3 bytes, of which the first `images` are real, and the
    rows of each forward pass. Only the last one has rows that fill it up: black ones."""

    pixels: torch.Tensor
    images: int
    passes: tuple[int, ...]


def squared(image: Image.Image, recipe: Recipe) -> Pixels:
    """An opened image -> edge x edge x 3 bytes: the shorter side scaled to edge / crop_pct, the middle cut.

    Raises PayloadError for a damaged file.
    """
    longer, shorter = max(image.size), min(image.size)  # drafted, the ratio is only about the same
    edge: int = recipe["size"]["shortest_edge"]
    resample = Image.Resampling(recipe.get("resample", Image.Resampling.BICUBIC))
    square = edge >= SQUARE_FROM_EDGE
    scaled = edge if square else int(edge / recipe.get("crop_pct", 224 / 256))
    draft(image, SPARE * scaled)
    with _room_for(image):
        upright = decode(image)
        if square:
            return np.asarray(upright.resize((edge, edge), resample))
        sides = scaled, int(scaled * longer / shorter)
        width, height = sides if upright.width < upright.height else sides[::-1]
        return np.asarray(_resized_middle(upright, width, height, edge, resample))


def _room_for(image: Image.Image) -> AbstractContextManager[object]:
    """Of large images one at a time is in memory, however many threads decode."""
    return _large if image.width * image.height > LARGE_PIXELS else nullcontext()


def _resized_middle(
    image: Image.Image, width: int, height: int, edge: int, resample: Image.Resampling
) -> Image.Image:
    """`image.resize((width, height))` cropped to edge x edge around its centre, calculating little more.

    The same but for one level in one of a thousand pixels, where the box's coordinates, in 32 bits, round the
    other way. One axis after the other, because Pillow's order of the two depends on the box, and rounding in
    between on the order. Measured: decoding and scaling take 1.4 times as long without.
    """
    left, top = (width - edge) // 2, (height - edge) // 2
    if min(left, top) < 0 or image.height > TALL * image.width:
        whole = image.resize((width, height), resample)
        return whole.crop((left, top, left + edge, top + edge))
    across, down = image.width / width, image.height / height
    margin = WIDEST_FILTER * max(1.0, down)  # rows beyond the middle that its edges look at
    first = max(0, floor(top * down - margin))
    last = min(image.height, ceil((top + edge) * down + margin))
    rows = image.crop((0, first, image.width, last))
    box = (left * across, 0, (left + edge) * across, rows.height)
    narrow = rows.resize((edge, rows.height), resample, box=box)
    return narrow.resize(
        (edge, edge), resample, box=(0, top * down - first, edge, (top + edge) * down - first)
    )


def scale_and_shift(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """(byte x rescale - mean) / std as byte x scale + shift, for each colour."""
    mean, std = (torch.tensor(recipe[key], dtype=torch.float64) for key in ("image_mean", "image_std"))
    return (recipe.get("rescale_factor", 1 / 255) / std).float(), (-mean / std).float()
