"""BentoML with our models: POST /<name> with {"texts": ["..."]} -> [[{"label", "probability"}, ...]], or a
list of vectors.

Images are {"images": [base64]}.
Every worker holds all models and batches alone; a batch waits as long as BentoML has learned to be good.
"""

from collections.abc import Callable
from typing import Any

import bentoml
import numpy as np
from archived import asked, load, takes_images

LONGEST_MS = 60_000  # a deadline, not a delay: what BentoML expects to miss it is refused with 503

MODELS = asked()["models"]


def endpoint(model: dict[str, Any]) -> Callable[..., Any]:
    """A method that answers for one of the models."""

    def of_texts(self: Any, texts: list[str]) -> list[list[dict[str, Any]]]:
        return list(self.predict[model["name"]](texts))

    def of_images(self: Any, images: list[str]) -> list[list[dict[str, Any]]]:
        return list(self.predict[model["name"]](images))

    def as_vectors(self: Any, texts: list[str]) -> np.ndarray:
        return np.asarray(self.predict[model["name"]](texts))

    answer: Callable[..., Any] = of_images if takes_images(model["folder"]) else of_texts
    if model["tells_vectors"]:
        answer = as_vectors
    answer.__name__ = model["name"]  # by which BentoML finds it again
    # What it counts are the inputs of a batch, and those of a request are parted where they are too many.
    most = model["batch_size"] * model["inputs"]
    batches = {"batchable": True, "max_batch_size": most, "max_latency_ms": LONGEST_MS}
    # Of batches of one it wants to hear nothing.
    api: Callable[..., Any] = bentoml.api(
        route=f"/{model['name']}", **(batches if model["batch_size"] > 1 else {})
    )
    wrapped: Callable[..., Any] = api(answer)
    return wrapped


def load_all(self: Any) -> None:
    """The service's constructor: it runs once in each worker."""
    self.predict = {model["name"]: load(model["folder"], model["batch_size"]) for model in MODELS}


serve = bentoml.service(
    workers=max(model["workers"] for model in MODELS),
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},  # as the others are run here
)
Classifiers = serve(
    type("Classifiers", (), {"__init__": load_all, **{model["name"]: endpoint(model) for model in MODELS}})
)
