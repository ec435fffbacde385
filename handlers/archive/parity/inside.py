"""An archive, loaded as TorchServe's workers do it with one engine after another -> what each makes of the
same inputs.

In a process of its own, so that the archive's `handlers` is the package that a worker would find, not this
repository's. Nothing of handlers/ is imported before the archive's folder is on the path.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

BATCH = 8
IMAGES = 40
PATCHES = 7  # colours along each side of a picture, blurred into each other

Arrays = dict[str, NDArray[Any]]


def main(folder: str, kind: str, variants: str, texts: str, out: str) -> None:
    """`variants`: JSON, a list of [engine, precision], the first the reference; `texts`: a JSON file. Writes
    an .npz file with `values-N` and, of a classifier, `probabilities-N` for variant N; not for one that this
    CPU lacks. Torch has no short cut here, and gets each input alone: nothing is padded."""
    sys.path.insert(0, folder)
    os.chdir(folder)
    inputs = json.loads(Path(texts).read_text("utf-8"))
    outputs: Arrays = {}
    for number, (engine, precision) in enumerate(json.loads(variants)):
        if _can(engine, precision):
            handler = _loaded(engine, precision)
            size = 1 if engine == "torch" else BATCH
            found = _of_images(handler) if kind == "image" else _of_texts(handler, inputs, size)
            outputs |= {f"{name}-{number}": array for name, array in found.items()}
    np.savez(out, **outputs)  # type: ignore[arg-type]


def _can(engine: str, precision: str) -> bool:
    if (engine, precision) != ("openvino", "bf16"):
        return True
    from handlers.engine.open_vino import has_bf16

    return has_bf16()


def _loaded(engine: str, precision: str) -> Any:
    """The handler, initialised: of torch exactly what transformers has. fp64, in which nothing is served, has
    the weights as they are, widened."""
    from ts.model_loader import TsModelLoader  # type: ignore[import-untyped]

    path = Path("model-config.yaml")
    config = yaml.safe_load(path.read_text("utf-8")) or {}
    config["handler"] = (config.get("handler") or {}) | {"tuned": engine != "torch", "compile": "none"}
    path.write_text(yaml.safe_dump(config), "utf-8")
    served = "fp32" if precision == "fp64" else precision
    os.environ |= {"HANDLER_ENGINE": engine, "HANDLER_PRECISION": served}
    manifest = json.loads(Path("MAR-INF/MANIFEST.json").read_text("utf-8"))["model"]
    service = TsModelLoader().load(manifest["modelName"], str(Path.cwd()), manifest["handler"], None, BATCH)
    handler = service._entry_point.__self__
    if precision == "fp64":
        handler.runtime.model.double()
    return handler


def _of_texts(handler: Any, texts: list[str], size: int) -> Arrays:
    import torch

    scores = getattr(handler, "scores", None)
    if scores is not None:  # the head asks for them each time: here it shall leave the logits as they are
        handler.scores = dataclasses.replace(scores, of=lambda logits: logits)
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    values = torch.cat([handler.forward(handler.preprocess(batch)) for batch in batches])
    if scores is None or scores.told_as != "probability":
        return {"values": values.numpy()}
    return {"values": values.numpy(), "probabilities": scores.of(values).numpy()}


def _of_images(handler: Any) -> Arrays:
    import torch

    with torch.inference_mode():
        logits = []
        for images in _pictures(handler.recipe.shape):
            batch = handler.preprocess(list(images))
            logits.append(handler.network(batch.pixels)[: batch.images].float())
        values = torch.cat(logits)
        return {"values": values.numpy(), "probabilities": values.softmax(-1).numpy()}


def _pictures(shape: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Batches of 1 to BATCH pictures, height x width x 3 bytes, the same each time."""
    from PIL import Image

    drawn = np.random.default_rng(0)
    left = IMAGES
    for size in [*range(1, BATCH + 1)] * IMAGES:
        colours = drawn.integers(0, 256, (min(size, left), PATCHES, PATCHES, 3), np.uint8)
        if not len(colours):
            return
        yield np.stack(
            [
                np.asarray(Image.fromarray(one).resize(shape[::-1], Image.Resampling.BILINEAR))
                for one in colours
            ]
        )
        left -= len(colours)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        told = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {told[:300]}" if told else type(error).__name__)
