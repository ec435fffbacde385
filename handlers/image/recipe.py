"""preprocessor_config.json, in every form that transformers has written -> what is done to an image.

Means what transformers' own processor of that type means by it, or is refused: when an archive is built, and
again by the worker. What does it is pixels.py; it imports neither torch nor transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from handlers.image.processors import FALLBACK, PROCESSORS

Keys = Mapping[str, Any]
Sides = tuple[int, int]  # height, width
Colours = tuple[float, float, float]

# From this size on, ConvNext's processor scales the image to a square and crops nothing.
SQUARE_FROM_EDGE = 384

# LeViT's processor scales the shorter side to so many times what the recipe names.
LEVIT_SPARE = 256 / 224

# An image of 1 x 100, the narrowest that is accepted, is scaled to 1024 x 102,400 pixels at the most: 300 MB.
MOST_SIDE = 1024

FILTERS = range(6)  # Pillow's: nearest, Lanczos, bilinear, bicubic, box, Hamming


class RecipeError(Exception):
    """A recipe that the handler can't follow: one line with the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image's way to the model: scaled, then cut around the centre, then byte x scale + shift.

    Scaled so that its shorter side is `shorter`, or to `sides` whatever its shape, or not at all; cut to
    `shape`, with black around an image that is smaller. `resample` is the number of Pillow's filter.
    """

    shorter: int | None
    sides: Sides | None
    shape: Sides
    resample: int
    scale: Colours
    shift: Colours


def resolve(told: object) -> Recipe:
    """The content of preprocessor_config.json -> the recipe. Raises RecipeError."""
    if not isinstance(told, dict):
        raise RecipeError("the recipe is not a JSON object: write it with transformers' save_pretrained()")
    name = _type(told)
    keys = {
        **PROCESSORS[name],
        **told,
    }  # null is told too: transformers takes it for none, not for the default
    if name == "CLIPImageProcessor" and keys.get("use_square_size"):
        raise RecipeError("use_square_size is not served: name size and crop_size instead")
    shorter, sides, crop = _geometry(name, keys)
    shape = crop or sides
    if shape is None:
        raise RecipeError(
            "images would keep sizes of their own, and a batch needs one: set do_center_crop and crop_size"
        )
    resample = keys["resample"]
    if type(resample) is not int or resample not in FILTERS:
        raise RecipeError(f"resample {resample!r} is no filter of Pillow's: 0 to 5 are")
    _check_padding(keys, shape)
    return Recipe(shorter, sides, shape, resample, *_scale_and_shift(name, keys))


def _type(told: Keys) -> str:
    """The type of processor under its name of today. Names of 2022, and of the fast ones, are known."""
    name = told.get("image_processor_type") or told.get("feature_extractor_type") or FALLBACK
    today = str(name).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    if today not in PROCESSORS:
        raise RecipeError(f"images prepared by {name} are not served; served are {', '.join(PROCESSORS)}")
    return today


def _geometry(name: str, keys: Keys) -> tuple[int | None, Sides | None, Sides | None]:
    """What the image is scaled to, by its shorter side or both, and what is cut out of its middle."""
    size = _sides("size", keys["size"], square=_flag(keys, "default_to_square"))  # checked, if unused, too
    crop = _crop(keys) if _flag(keys, "do_center_crop") else None
    if not _flag(keys, "do_resize"):
        return None, None, crop
    if name == "ConvNextImageProcessor":
        return _as_convnext(size, crop, keys)
    if name == "PoolFormerImageProcessor":
        size = _as_poolformer(size, _fraction(keys, "crop_pct"))
    elif name == "LevitImageProcessor" and isinstance(size, int):
        size = int(LEVIT_SPARE * size)
    return (size, None, crop) if isinstance(size, int) else (None, size, crop)


def _crop(keys: Keys) -> Sides:
    crop = _sides("crop_size", keys.get("crop_size"), square=True)
    if isinstance(crop, int):
        raise RecipeError("crop_size needs a height and a width, or one number for both")
    return crop


def _as_convnext(
    size: int | Sides, crop: Sides | None, keys: Keys
) -> tuple[int | None, Sides | None, Sides | None]:
    """Below 384: scaled to size / crop_pct, the middle cut; from there on: scaled to a square."""
    if not isinstance(size, int):
        raise RecipeError('ConvNextImageProcessor needs size as {"shortest_edge": number}')
    square = size, size
    if size >= SQUARE_FROM_EDGE:
        return None, square, crop
    if crop not in (None, square):
        raise RecipeError(f"crop_size cuts again what size {size} has cut: drop do_center_crop")
    return _positive("size / crop_pct", int(size / _fraction(keys, "crop_pct"))), None, square


def _as_poolformer(size: int | Sides, crop_pct: float) -> int | Sides:
    """Both sides the same mean the shorter one."""
    if isinstance(size, int) or size[0] == size[1]:
        shorter = size if isinstance(size, int) else size[0]
        return _positive("size / crop_pct", int(shorter / crop_pct))
    height, width = (_positive("size / crop_pct", int(side / crop_pct)) for side in size)
    return height, width


def _sides(key: str, value: object, *, square: bool) -> int | Sides:
    """A size in any of its forms -> height and width, or the shorter side alone."""
    if isinstance(value, int):
        side = _positive(key, value)
        return (side, side) if square else side
    if isinstance(value, dict) and value.keys() == {"shortest_edge"}:
        return _positive(key, value["shortest_edge"])
    if isinstance(value, dict) and value.keys() == {"height", "width"}:
        return _positive(key, value["height"]), _positive(key, value["width"])
    if isinstance(value, list) and len(value) == 2:
        return _positive(key, value[0]), _positive(key, value[1])
    raise RecipeError(
        f'{key} {value!r} is not served: give a number, "height" and "width", or "shortest_edge" alone'
    )


def _scale_and_shift(name: str, keys: Keys) -> tuple[Colours, Colours]:
    """(byte x rescale - mean) / std as byte x scale + shift, for each colour."""
    rescales, normalizes = _flag(keys, "do_rescale"), _flag(keys, "do_normalize")
    factor = _number("rescale_factor", keys["rescale_factor"]) if rescales else 1.0
    offset = 0.0
    top = False
    if name == "EfficientNetImageProcessor":
        offset = -1.0 if rescales and _flag(keys, "rescale_offset") else 0.0
        top = _flag(keys, "include_top")  # divides by the deviation once more
    means = _colours("image_mean", keys["image_mean"]) if normalizes else (0.0, 0.0, 0.0)
    deviations = _colours("image_std", keys["image_std"]) if normalizes or top else (1.0, 1.0, 1.0)
    if 0 in deviations:
        raise RecipeError("image_std holds a 0, by which no colour can be divided")
    divisors = [std ** (int(normalizes) + int(top)) for std in deviations]
    red, green, blue = (factor / divisor for divisor in divisors)
    shifts = [(offset - mean) / divisor for mean, divisor in zip(means, divisors, strict=True)]
    return (red, green, blue), (shifts[0], shifts[1], shifts[2])


def _check_padding(keys: Keys, shape: Sides) -> None:
    """Without a size of its own, padding fills a batch up to its largest image: here all are the same."""
    if not _flag(keys, "do_pad") or keys.get("pad_size") is None:
        return
    if _sides("pad_size", keys["pad_size"], square=True) != shape:
        raise RecipeError(f"pad_size {keys['pad_size']!r} pads images of {shape[0]} x {shape[1]}: not served")


def _flag(keys: Keys, key: str) -> bool:
    value = keys.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RecipeError(f"{key} is {value!r}: give true or false")
    return value


def _positive(key: str, value: object) -> int:
    if type(value) is not int or not 0 < value <= MOST_SIDE:
        raise RecipeError(f"{key} holds {value!r}: give whole numbers from 1 to {MOST_SIDE}")
    return value


def _fraction(keys: Keys, key: str) -> float:
    value = _number(key, keys[key])
    if value <= 0:
        raise RecipeError(f"{key} is {value}: give a number above 0")
    return value


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise RecipeError(f"{key} holds {value!r}: give numbers")
    return float(value)


def _colours(key: str, value: object) -> Colours:
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3:
        raise RecipeError(f"{key} has {len(values)} values: give one, or one for red, green and blue each")
    red, green, blue = (_number(key, colour) for colour in values)
    return red, green, blue
