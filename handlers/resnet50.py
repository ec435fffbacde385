"""Image classification with ResNet: images -> normalised pixels -> one forward pass -> the top labels.

Reading requests is payload.py's job, scaling images pixels.py's, devices are devices.py's, batches
batches.py's. TorchServe wants exactly one class in this file.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from transformers import ResNetForImageClassification

from handlers.image.pixels import ImageBatch, Pixels, scaled_and_cut
from handlers.image.recipe import Recipe, resolve
from handlers.model.devices import host_buffer, send
from handlers.model.lost import ending_with_its_context
from handlers.model.packed import pack_convolutions, pack_linears
from handlers.model.products import refuse_wrong_products
from handlers.model.runtime import Runtime, start
from handlers.model.shapes import Network, make_ready, portions, warm_up
from handlers.model.simplified import fold_normalization
from handlers.request.batches import Context, Map, Row, answer
from handlers.request.declared import IMAGE
from handlers.request.payload import image_of

# Beyond this, decoding is faster than any GPU's forward pass, and memory is what more threads take.
MOST_DECODERS = 8


class ResNet50Handler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    medium = IMAGE
    runtime: Runtime
    recipe: Recipe
    scale: torch.Tensor
    shift: torch.Tensor
    ready_sizes: tuple[int, ...] | None
    network: Network
    each: Map

    def initialize(self, context: Context) -> None:
        """Load model and preprocessing recipe from the archive.

        Raises what `runtime.start` raises, RecipeError for a recipe that can't be followed, and DeviceError
        where the GPU calculates wrongly.
        """
        self.runtime = runtime = start(context, ResNetForImageClassification, fold_normalization)
        if runtime.on_torch:
            runtime.model.to(memory_format=torch.channels_last)
        self.recipe = resolve(json.loads((runtime.folder / "preprocessor_config.json").read_text("utf-8")))
        self.scale = torch.tensor(self.recipe.scale, device=runtime.device)
        self.shift = torch.tensor(self.recipe.shift, device=runtime.device)
        self.each = _map_in_threads(min(torch.get_num_threads(), MOST_DECODERS))
        self.ready_sizes = runtime.batch_sizes() if runtime.compiles else None
        examples = [
            torch.zeros(n, *self.recipe.shape, 3, dtype=torch.uint8, device=runtime.device)
            for n in self.ready_sizes or (1,)
        ]
        if runtime.packs:
            example = self.normalise(examples[0][:1]).to(runtime.model.dtype)
            pack_convolutions(runtime.model, example)
            pack_linears(runtime.model)
        shapes = ((n, *self.recipe.shape, 3) for n in runtime.batch_sizes())
        noise = (torch.randint(0, 256, shape).to(runtime.device) for shape in shapes)
        refuse_wrong_products(self._logits, noise, runtime.device, runtime.model.dtype)
        self.network = make_ready(self._logits, examples, runtime.settings.compile)
        largest = torch.zeros(runtime.batch_sizes()[-1], *examples[0].shape[1:], dtype=torch.uint8)
        warm_up([self.network], [largest.to(runtime.device)])

    def handle(self, rows: Sequence[Row], context: Context) -> list[bytes]:
        """A batch of requests -> an answer for each, in order."""
        settings, tally = self.runtime.settings, self.runtime.tally
        with ending_with_its_context(self.runtime.device):
            return answer(self, rows, context, settings.limits, tally, self.each, self.runtime.turns)

    def read_item(self, value: object) -> Pixels:
        """What the client sent -> height x width x 3 bytes, scaled and cut around the centre: of a large
        photograph only these stay in memory. Raises PayloadError."""
        return scaled_and_cut(image_of(value, self.runtime.settings.limits), self.recipe)

    def predict(self, images: list[Pixels]) -> list[list[dict[str, object]]]:
        """n scaled images -> n lists of {"label", "probability"}, the most probable first."""
        return self.postprocess(self.forward(self.preprocess(images)))

    def preprocess(self, images: list[Pixels]) -> ImageBatch:
        """n scaled images -> their bytes on the device: a quarter of what floats would take."""
        passes = portions(len(images), self.ready_sizes)
        rows = sum(rows for _, rows in passes)
        batch = host_buffer((rows, *images[0].shape), torch.uint8, self.runtime.device)
        np.stack(images, out=batch.numpy()[: len(images)])
        batch[len(images) :] = 0
        return ImageBatch(send(batch, self.runtime.device), len(images), tuple(rows for _, rows in passes))

    @torch.inference_mode()
    def forward(self, batch: ImageBatch) -> torch.Tensor:
        """Bytes of n images -> probabilities, n x labels, fp32 on the CPU. Waits for the device once, at the
        end."""
        logits = torch.cat([self.network(rows) for rows in torch.split(batch.pixels, list(batch.passes))])
        return torch.softmax(logits[: batch.images].float(), dim=-1).cpu()

    def postprocess(self, probabilities: torch.Tensor) -> list[list[dict[str, object]]]:
        """Probabilities, n x labels -> the top k labels of each image, the most probable first."""
        names = self.runtime.model.config.id2label
        values, indices = probabilities.topk(min(self.runtime.settings.top_k, len(names)), dim=-1)
        return [
            [{"label": names[i], "probability": p} for p, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """n x height x width x 3 bytes -> n x 3 x height x width floats as the checkpoint wants them.

        Turned by a view, the colours of a pixel stay side by side in memory: the channels_last layout, in
        which convolutions are fastest.
        """
        return (images * self.scale + self.shift).permute(0, 3, 1, 2)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        model = self.runtime.model
        logits: torch.Tensor = model(pixel_values=self.normalise(images).to(model.dtype)).logits
        return logits


def _map_in_threads(threads: int) -> Map:
    """A `map` on so many threads: Pillow lets go of Python's lock while it decodes and scales."""
    return map if threads == 1 else ThreadPoolExecutor(threads, "decode").map
