"""Does the image handler do with any preprocessor_config.json what transformers' own processor does with it?

    python -m benchmarks.recipes                    # 500 recipes made up at random
    python -m benchmarks.recipes --recipes 5000 --seed 7

Each is followed with one image, or refused. Where only the middle of an image is calculated (pixels.py), up
to 5 of 1000 bytes may be one or two of 256 levels off; everywhere else they are the same. Exits with 1 where
one differs by more.
"""

import io
import json
from random import Random
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from transformers.image_utils import load_image
from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

from handlers.image.pixels import IN_PARTS, scaled_and_cut
from handlers.image.processors import FALLBACK, PROCESSORS
from handlers.image.recipe import RecipeError, resolve
from handlers.request.payload import Limits, image_of

# What may be asked of a processor beside those that are served.
FOREIGN = ("SegformerImageProcessor", "MobileViTImageProcessor", "TimmWrapperImageProcessor")

LEVELS_OFF, SHARE_OFF = 2, 0.005  # where the middle alone is calculated
ROUNDING = 1e-3  # of a level: float32 on both sides


def random_recipe(random: Random) -> dict[str, Any]:
    """A recipe of any age: each key there or not, in any of the forms that were ever written, some wrong."""
    name = (
        random.choice([*PROCESSORS, FALLBACK, FALLBACK]) if random.random() < 0.97 else random.choice(FOREIGN)
    )
    recipe = dict(
        random.choice(
            [
                {"image_processor_type": name},
                {"image_processor_type": name + "Fast"},
                {"feature_extractor_type": name.replace("ImageProcessor", "FeatureExtractor")},
            ]
        )
    )
    for key, forms in _forms(random).items():
        if random.random() < 0.6:
            recipe[key] = random.choice(forms)
    return recipe


def _forms(random: Random) -> dict[str, list[Any]]:
    edge, other = random.choice([16, 33, 64, 97, 224, 384]), random.choice([24, 56, 224])
    cut = random.choice([edge, other, max(1, edge * 7 // 8)])
    colours = [round(random.uniform(0.2, 0.7), 3) for _ in range(3)]
    square, oblong = {"height": edge, "width": edge}, {"height": edge, "width": other}
    sizes = [edge, edge, square, oblong, [edge, other], *[{"shortest_edge": edge}] * 4]
    odd_sizes = [
        {"shortest_edge": edge, "longest_edge": 2 * edge},
        {"longest_edge": edge},
        None,
        [edge],
        "224",
    ]
    return {
        "size": sizes * 3 + odd_sizes,
        "crop_size": [cut, cut, {"height": cut, "width": cut}, {"height": cut, "width": other}, [cut, other]]
        * 3
        + [{"shortest_edge": cut}, None],
        "crop_pct": [0.875, 0.9, 0.95, 1.0] * 4 + [None],
        "default_to_square": [True, False, False, None],
        "do_resize": [True] * 5 + [False],
        "do_center_crop": [True, True, True, False, None],
        "resample": [3, 2] + [0, 1, 2, 3, 4, 5] * 4 + [6, None],
        "do_rescale": [True, True, False],
        "rescale_factor": [1 / 255, 1 / 127.5, 0.00392156862745098] * 5 + [None],
        "rescale_offset": [True, False],
        "include_top": [True, False],
        "do_normalize": [True, True, False],
        "image_mean": [colours, 0.5, [0.0, 0.0, 0.0]] * 5 + [colours[:2], None],
        "image_std": [colours, 0.5, [1.0, 1.0, 1.0]] * 5 + [None],
        "do_convert_rgb": [True, False, None],
        "do_pad": [False, False, True, None],
        "pad_size": [None, {"height": 512, "width": 512}, square],
        "size_divisor": [None, 32],
        "max_size": [None, 500],
    }


def random_image(random: Random) -> bytes:
    """Noise upon colours that run over the image, as a PNG: nothing of it is decoded smaller."""
    width, height = random.randint(1, 400), random.randint(1, 400)
    if max(width, height) > 90 * min(width, height):
        width = height
    noise = np.random.default_rng(random.getrandbits(32))
    ramp = np.linspace(0, 200, width)[None, :, None] * np.array([1.0, 0.5, 0.2])
    file = io.BytesIO()
    Image.fromarray((ramp + noise.integers(0, 56, (height, width, 3))).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def by_transformers(recipe: dict[str, Any], body: bytes) -> NDArray[np.float32] | None:
    """3 x height x width, by the processor that the recipe names; None: it raises."""
    told = recipe.get("image_processor_type") or recipe.get("feature_extractor_type") or FALLBACK
    name = told.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    try:
        processor = get_image_processor_class_from_name(name + "Pil").from_dict(dict(recipe))
        image = load_image(Image.open(io.BytesIO(body)))
        found: NDArray[np.float32] = processor(image, return_tensors="np")["pixel_values"][0]
    except Exception:  # whatever it is that transformers can't do
        return None
    return found.astype(np.float32)


def difference(recipe: dict[str, Any], body: bytes) -> str | None:
    """How our pixels differ from transformers', in words; None: they are the same. Raises RecipeError."""
    ours = resolve(json.loads(json.dumps(recipe)))
    theirs = by_transformers(recipe, body)
    if theirs is None:
        return "transformers refuses it, and it is followed here"
    scale, shift = torch.tensor(ours.scale), torch.tensor(ours.shift)
    bytes_ = torch.from_numpy(scaled_and_cut(image_of(body, Limits()), ours).copy())
    found = (bytes_ * scale + shift).permute(2, 0, 1)
    if found.shape != theirs.shape:
        return f"{tuple(found.shape)} here, {theirs.shape} there"
    levels = (found - torch.from_numpy(theirs)).abs() / scale.abs()[:, None, None]
    off = int((levels > ROUNDING).sum())
    allowed = SHARE_OFF * levels.numel() if ours.shorter and ours.resample in IN_PARTS else 0
    if off > allowed or levels.max() > LEVELS_OFF + ROUNDING:
        return f"{off} of {levels.numel()} bytes differ, by up to {levels.max():.2f} levels"
    return None


def main(
    recipes: Annotated[int, typer.Option(help="How many recipes.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="The same seed makes up the same recipes.")] = 0,
) -> None:
    """Compare the image handler's pixels with those of transformers' processors, recipe by recipe."""
    random = Random(seed)
    refused, wrong = 0, 0
    for number in range(recipes):
        recipe, body = random_recipe(random), random_image(random)
        try:
            differs = difference(recipe, body)
        except RecipeError:
            refused += 1
            continue
        if differs:
            wrong += 1
            typer.echo(f"recipe {number}: {differs}: {json.dumps(recipe)}")
    equal = recipes - refused - wrong
    typer.echo(f"{recipes} recipes, seed {seed}: {equal} equal, {refused} refused, {wrong} differ")
    raise typer.Exit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
