"""Image classification with ResNet: images -> normalised pixels -> one forward pass -> the top labels.

Only what is peculiar to images. Reading requests is payload.py's job, devices and batches are runtime.py's.
TorchServe wants exactly one class in this file.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import ResNetForImageClassification

from handlers.payload import image_of
from handlers.runtime import Context, Row, Runtime, answer, start

# From this size on, the checkpoints' recipe scales the image to a square and crops nothing.
SQUARE_FROM_EDGE = 384


class ResNet50Handler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    runtime: Runtime
    recipe: Mapping[str, Any]

    def initialize(self, context: Context) -> None:
        """Load model and preprocessing recipe from the archive. Raises what `runtime.start` raises."""
        self.runtime = start(context, ResNetForImageClassification)
        self.recipe = json.loads((self.runtime.folder / "preprocessor_config.json").read_text())

    def handle(self, rows: Sequence[Row], context: Context) -> list[object]:
        """A batch of requests -> an answer for each, in order."""
        return answer(rows, context, self.read_item, self.predict, self.runtime.settings.limits.instances)

    def read_item(self, value: object) -> NDArray[np.float32]:
        """What the client sent -> pixels for the model: of a large photograph only these stay in memory."""
        return self.preprocess(image_of(value, self.runtime.settings.limits))

    def predict(self, images: list[NDArray[np.float32]]) -> list[list[dict[str, object]]]:
        """n preprocessed images -> n lists of {"label", "probability"}, the most probable first."""
        return self.postprocess(self.forward(images))

    def preprocess(self, image: Image.Image) -> NDArray[np.float32]:
        """An RGB image -> 3 x edge x edge, scaled, cropped around its centre and normalised."""
        recipe = self.recipe
        pixels = np.asarray(_resize_and_crop(image, recipe), dtype=np.float32)
        mean, std = (np.asarray(recipe[key], dtype=np.float32) for key in ("image_mean", "image_std"))
        normalised = (pixels * np.float32(recipe.get("rescale_factor", 1 / 255)) - mean) / std
        return np.ascontiguousarray(normalised.transpose(2, 0, 1))

    @torch.inference_mode()
    def forward(self, images: list[NDArray[np.float32]]) -> torch.Tensor:
        """n images of 3 x edge x edge -> probabilities, n x labels, fp32 on the CPU."""
        runtime = self.runtime
        pixels = torch.from_numpy(np.stack(images)).to(runtime.device, runtime.model.dtype)
        return torch.softmax(runtime.model(pixel_values=pixels).logits.float(), dim=-1).cpu()

    def postprocess(self, probabilities: torch.Tensor) -> list[list[dict[str, object]]]:
        """Probabilities, n x labels -> the top k labels of each image, the most probable first."""
        names = self.runtime.model.config.id2label
        values, indices = probabilities.topk(min(self.runtime.settings.top_k, len(names)), dim=-1)
        return [
            [{"label": names[i], "probability": p} for p, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]


def _resize_and_crop(image: Image.Image, recipe: Mapping[str, Any]) -> Image.Image:
    """Scale the shorter side to edge / crop_pct, then cut the edge x edge in the middle."""
    edge: int = recipe["size"]["shortest_edge"]
    resample = Image.Resampling(recipe.get("resample", Image.Resampling.BICUBIC))
    if edge >= SQUARE_FROM_EDGE:
        return image.resize((edge, edge), resample)
    shorter = int(edge / recipe.get("crop_pct", 224 / 256))
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    left, top = (width - edge) // 2, (height - edge) // 2
    return image.resize((width, height), resample).crop((left, top, left + edge, top + edge))
