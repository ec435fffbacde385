"""A model of Triton's Python backend: TEXT or IMAGE, a string -> LABEL and PROBABILITY, in falling order, or
VECTOR."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from archived import load


class TritonPythonModel:
    """One an instance, each in a process of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.input = config["input"][0]["name"]
        folder = config["parameters"]["folder"]["string_value"]
        self.predict = load(folder, int(config["parameters"]["batch_size"]["string_value"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """The requests of a batch, each of one text or several -> as many answers."""
        texts = [triton.get_input_tensor_by_name(each, self.input).as_numpy().ravel() for each in requests]
        predictions = self.predict([text.decode() for each in texts for text in each])
        ends = np.cumsum([len(each) for each in texts])
        return [_response(predictions[end - len(each) : end]) for each, end in zip(texts, ends, strict=True)]


def _response(predictions: Any) -> Any:
    if isinstance(predictions, np.ndarray):
        return triton.InferenceResponse([triton.Tensor("VECTOR", predictions)])
    labels = np.array([[one["label"].encode() for one in each] for each in predictions], np.object_)
    probabilities = np.array([[one["probability"] for one in each] for each in predictions], np.float32)
    return triton.InferenceResponse(
        [triton.Tensor("LABEL", labels), triton.Tensor("PROBABILITY", probabilities)]
    )
