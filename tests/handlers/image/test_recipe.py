"""A recipe is a promise: followed to the pixel as transformers' own processor follows it, or refused."""

from random import Random
from typing import Any

import pytest
from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

from benchmarks.recipes import difference, random_image, random_recipe
from handlers.image.processors import PROCESSORS
from handlers.image.recipe import RecipeError, resolve

# microsoft/resnet-50 as it was published in 2022.
OF_2022 = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "size": 224,
}

BIT = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 256},
    "crop_size": 224,
    "do_center_crop": True,
}


def of(kind: str, **keys: Any) -> dict[str, Any]:
    return {"image_processor_type": f"{kind}ImageProcessor", **keys}


FOLLOWED = [
    pytest.param(OF_2022, (224, 224), id="ResNet of 2022"),
    pytest.param(BIT, (224, 224), id="BiT"),
    pytest.param({"size": 64}, (64, 64), id="no type: ConvNext's"),
    pytest.param(of("ConvNext"), (384, 384), id="nothing but the type"),
    pytest.param(of("ConvNext", size=96, crop_pct=1.1), (96, 96), id="more cut than scaled: black around it"),
    pytest.param(of("ViT", size=64), (64, 64), id="an old size of ViT's is a square"),
    pytest.param(of("ViT", size=[40, 60]), (40, 60), id="a list is height and width"),
    pytest.param(of("CLIP", size=64, crop_size=[50, 60]), (50, 60), id="an old size of CLIP's is one side"),
    pytest.param(of("DeiT", image_mean=0.4, image_std=0.3), (224, 224), id="one mean for all colours"),
    pytest.param(of("EfficientNet", rescale_offset=True), (346, 346), id="normalised twice"),
    pytest.param(of("Levit"), (224, 224), id="LeViT scales beyond its size"),
    pytest.param(of("PoolFormer", crop_pct=0.95), (224, 224), id="PoolFormer's crop_pct"),
    pytest.param(
        of("PoolFormer", size={"height": 60, "width": 90}), (224, 224), id="PoolFormer, a rectangle"
    ),
    pytest.param(of("MobileNetV2", do_resize=False, crop_size=99), (99, 99), id="cut without scaling"),
    pytest.param(of("MobileNetV1", do_rescale=False), (224, 224), id="not rescaled"),
    pytest.param(of("Siglip", do_normalize=False, resample=0), (224, 224), id="not normalised; nearest"),
    pytest.param(of("Pvt", do_rescale=False, do_normalize=False), (224, 224), id="bytes as they are"),
    pytest.param(of("ViT", do_pad=True, pad_size=224), (224, 224), id="padding that adds nothing"),
    pytest.param({"image_processor_type": "ViTImageProcessorFast"}, (224, 224), id="a fast one"),
]

REFUSED = [
    pytest.param([], "not a JSON object", id="a list"),
    pytest.param(of("Segformer"), "SegformerImageProcessor are not served", id="another processor"),
    pytest.param(of("Bit", do_center_crop=False), "a batch needs one", id="sizes of their own"),
    pytest.param(of("Bit", do_center_crop=None), "a batch needs one", id="null is no default"),
    pytest.param(of("ConvNext", size={"height": 9, "width": 9}), "shortest_edge", id="ConvNext, a rectangle"),
    pytest.param(of("ConvNext", size=64, do_center_crop=True, crop_size=50), "cuts again", id="cut twice"),
    pytest.param(of("Bit", size={"shortest_edge": 9, "longest_edge": 99}), "longest_edge", id="at most"),
    pytest.param(of("Bit", size={"longest_edge": 99}), "longest_edge", id="the longer side"),
    pytest.param(of("Bit", size={}), "size {} is not served", id="an empty size"),
    pytest.param(of("ViT", size=True), "whole numbers", id="a size that is true"),
    pytest.param(of("ViT", size=0), "whole numbers", id="a size of 0"),
    pytest.param(of("ViT", size=224.0), "not served", id="half pixels"),
    pytest.param(of("ViT", size=90_000), "from 1 to 1024", id="a size beyond reason"),
    pytest.param(of("Bit", crop_size={"shortest_edge": 9}), "a height and a width", id="one side to cut"),
    pytest.param(of("Bit", resample=6), "0 to 5", id="a seventh filter"),
    pytest.param(of("Bit", resample=None), "0 to 5", id="no filter"),
    pytest.param(of("Bit", image_mean=[0.5]), "has 1 values", id="a mean for grey"),
    pytest.param(of("Bit", image_std=[0.5, 0, 0.5]), "holds a 0", id="a deviation of 0"),
    pytest.param(of("Bit", image_mean=float("nan")), "give numbers", id="not a number"),
    pytest.param(of("Bit", do_normalize="false"), "true or false", id="a text for a flag"),
    pytest.param(of("ConvNext", size=64, crop_pct=0), "above 0", id="a crop_pct of 0"),
    pytest.param(of("ViT", do_pad=True, pad_size=512), "pads images", id="padding"),
    pytest.param(of("CLIP", use_square_size=True), "use_square_size", id="KOSMOS' square"),
]


@pytest.mark.parametrize(("recipe", "shape"), FOLLOWED)
def test_is_followed_as_transformers_does(recipe: dict[str, Any], shape: tuple[int, int]) -> None:
    assert resolve(recipe).shape == shape
    for seed in range(2):
        assert difference(recipe, random_image(Random(seed))) is None


@pytest.mark.parametrize(("recipe", "reason"), REFUSED)
def test_is_refused_in_one_line(recipe: object, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as refused:
        resolve(recipe)
    assert "\n" not in str(refused.value)


@pytest.mark.thorough
def test_of_any_kind_gives_transformers_pixels_or_is_refused() -> None:
    """Forty of them here; `python -m benchmarks.recipes` tries as many as one likes."""
    random, followed = Random(0), 0
    for _ in range(40):
        recipe, body = random_recipe(random), random_image(random)
        try:
            assert difference(recipe, body) is None, recipe
            followed += 1
        except RecipeError:
            pass
    assert followed > 10


@pytest.mark.parametrize("name", PROCESSORS)
def test_knows_what_a_processor_assumes(name: str) -> None:
    theirs, ours = get_image_processor_class_from_name(f"{name}Pil"), PROCESSORS[name]
    assert {key: getattr(theirs, key) for key in ours} == ours
    assert all(key in ours for key in ("do_center_crop", "do_pad") if getattr(theirs, key, None))
