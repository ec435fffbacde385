"""What transformers' image processors assume where preprocessor_config.json is silent, by their type.

Values alone, copied so that a check needs no transformers; a test compares them with its classes.
"""

from collections.abc import Mapping
from typing import Any

DEFAULT_MEAN, DEFAULT_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HALF = [0.5, 0.5, 0.5]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

BILINEAR, BICUBIC = 2, 3

# That of a ResNet whose files name none.
FALLBACK = "ConvNextImageProcessor"


def _processor(
    mean: list[float], std: list[float], size: dict[str, int], *, crop: int | None = None, **more: Any
) -> Mapping[str, Any]:
    everything = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    cut = {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}} if crop else {}
    square = {"default_to_square": "shortest_edge" not in size, "resample": BICUBIC}
    return everything | cut | square | {"image_mean": mean, "image_std": std, "size": size} | more


def _square(edge: int) -> dict[str, int]:
    return {"height": edge, "width": edge}


def _shortest(edge: int) -> dict[str, int]:
    return {"shortest_edge": edge}


PROCESSORS: Mapping[str, Mapping[str, Any]] = {
    "BitImageProcessor": _processor(CLIP_MEAN, CLIP_STD, _shortest(224), crop=224),
    "CLIPImageProcessor": _processor(CLIP_MEAN, CLIP_STD, _shortest(224), crop=224),
    "ConvNextImageProcessor": _processor(HALF, HALF, _shortest(384), crop_pct=224 / 256),
    "DeiTImageProcessor": _processor(HALF, HALF, _square(256), crop=224),
    "EfficientNetImageProcessor": _processor(
        HALF, HALF, _square(346), crop=289, do_center_crop=False, rescale_offset=False, include_top=True
    ),
    "LevitImageProcessor": _processor(DEFAULT_MEAN, DEFAULT_STD, _shortest(224), crop=224),
    "MobileNetV1ImageProcessor": _processor(HALF, HALF, _shortest(256), crop=224, resample=BILINEAR),
    "MobileNetV2ImageProcessor": _processor(HALF, HALF, _shortest(256), crop=224, resample=BILINEAR),
    "PoolFormerImageProcessor": _processor(DEFAULT_MEAN, DEFAULT_STD, _shortest(224), crop=224, crop_pct=0.9),
    "PvtImageProcessor": _processor(DEFAULT_MEAN, DEFAULT_STD, _square(224)),
    "SiglipImageProcessor": _processor(HALF, HALF, _square(224), default_to_square=False),
    "ViTImageProcessor": _processor(HALF, HALF, _square(224), resample=BILINEAR),
}
