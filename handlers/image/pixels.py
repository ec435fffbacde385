"""An image -> the bytes that the checkpoint's recipe asks for, scaled and cut; their batch.

What reads and decodes a client's image is payload.py; what a recipe means is recipe.py's business; what runs
the model is resnet50.py.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import ceil, floor
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from handlers.image.recipe import Recipe, Sides
from handlers.request.payload import decode, draft

Pixels = NDArray[np.uint8]

# A JPEG is decoded to no less than so many times the size it is scaled to. Measured with 2000 x 1500 pixels:
# at 1 the scaled ones differ by up to 13 of 255 from those of the whole image, at 2 by up to 3; decoding and
# scaling take 5.6 ms or 8.7, not 20.5.
SPARE = 2

# Filters that take a pixel in or leave it out: where it falls by a hair otherwise, all of its colour changes.
# An image that is scaled with them is decoded whole.
STEPPED = (Resampling.NEAREST, Resampling.BOX)

# Filters with which the middle alone can be calculated: with the others up to 2 % of the
# bytes would round the other way, in one of ten sizes of images. The published checkpoints' is bicubic.
IN_PARTS = (Resampling.BICUBIC, Resampling.LANCZOS)

# Pillow 13 resizes taller images than this (height to width) vertically first, all others horizontally.
TALL = 2

# From this size on an image is large: 16 MB in memory, and as much again while its colours are converted.
LARGE_PIXELS = 4_000_000

# Half the width of Lanczos, the widest of Pillow's filters, and a pixel for rounding.
WIDEST_FILTER = 4

_large = Lock()


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Images ready for the model: rows x height x width x 3 bytes, of which the first `images` are real, and
    the rows of each forward pass. Only the last one has rows that fill it up: black ones."""

    pixels: torch.Tensor
    images: int
    passes: tuple[int, ...]


def scaled_and_cut(image: Image.Image, recipe: Recipe) -> Pixels:
    """An opened image -> height x width x 3 bytes, of the recipe's `shape`. Raises PayloadError for a damaged
    file."""
    whole = max(image.size), min(image.size)  # drafted, their ratio is only about the same
    aimed_at = recipe.shorter or max(recipe.sides or (0,))
    if aimed_at and recipe.resample not in STEPPED:
        draft(image, SPARE * aimed_at)
    with _room_for(image):
        upright = decode(image)
        sides = _scaled_sides(upright, recipe, *whole)
        resample, shape = Resampling(recipe.resample), recipe.shape
        in_parts = recipe.shorter is not None and resample in IN_PARTS
        return np.asarray((_middle_resized if in_parts else _resized_middle)(upright, sides, shape, resample))


def _scaled_sides(upright: Image.Image, recipe: Recipe, longer: int, shorter: int) -> Sides:
    """What the recipe scales an image to whose sides, before it was drafted, were `longer` and `shorter`."""
    if recipe.shorter is None:
        return recipe.sides or (upright.height, upright.width)
    long = int(recipe.shorter * longer / shorter)
    return (long, recipe.shorter) if upright.width < upright.height else (recipe.shorter, long)


def _room_for(image: Image.Image) -> AbstractContextManager[object]:
    """Of large images one at a time is in memory, however many threads decode."""
    return _large if image.width * image.height > LARGE_PIXELS else nullcontext()


def _resized_middle(image: Image.Image, sides: Sides, shape: Sides, resample: Resampling) -> Image.Image:
    """An image resized to `sides`, then the middle of `shape`; black around it where that is larger."""
    (height, width), (rows, columns) = sides, shape
    left, top = (width - columns) // 2, (height - rows) // 2
    resized = image.resize((width, height), resample)
    return resized if sides == shape else resized.crop((left, top, left + columns, top + rows))


def _middle_resized(image: Image.Image, sides: Sides, shape: Sides, resample: Resampling) -> Image.Image:
    """The same of an image whose ratio `sides` keep, calculating little more than the middle.

    The same but for a level in about one of a thousand bytes, where the box's coordinates, in 32 bits, round
    the other way. One axis after the other, because Pillow's order of the two depends on the box, and
    rounding in between on the order. Measured: decoding and scaling take 1.4 times as long without.
    """
    (height, width), (rows, columns) = sides, shape
    left, top = (width - columns) // 2, (height - rows) // 2
    most_of_it = min(left, top) >= 0 and 2 * min(shape) >= min(sides)
    if not most_of_it or image.height > TALL * image.width:
        return _resized_middle(image, sides, shape, resample)
    across, down = image.width / width, image.height / height
    margin = WIDEST_FILTER * max(1.0, down)  # rows beyond the middle that its edges look at
    first = max(0, floor(top * down - margin))
    last = min(image.height, ceil((top + rows) * down + margin))
    band = image.crop((0, first, image.width, last))
    box = (left * across, 0, (left + columns) * across, band.height)
    narrow = band.resize((columns, band.height), resample, box=box)
    return narrow.resize(
        (columns, rows), resample, box=(0, top * down - first, columns, (top + rows) * down - first)
    )
