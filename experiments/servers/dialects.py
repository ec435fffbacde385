"""How each server is asked, and what it says: a text -> a request's body; an answer -> predictions. Pure.

All of them answer with the labels of one text and their probabilities, the most probable first. The forms
are what a user of that server would write.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.base.errors import ExperimentError
from experiments.load import Body

Prediction = list[dict[str, Any]]
"""The labels of a text: {"label", "probability"} of each, the most probable first."""


class AnswerError(ExperimentError):
    """A server's answer is not of the form that its requests ask for."""


class Dialect(Protocol):
    """What differs between servers on the wire. `path` may hold `{model}`."""

    @property
    def predict_path(self) -> str: ...
    def body(self, text: str) -> Body:
        """A request that asks for the labels of one text."""
        ...

    def read(self, answer: bytes) -> Prediction:
        """What it said of the text. Raises AnswerError."""
        ...


@dataclass(frozen=True, slots=True)
class PlainText:
    """TorchServe's handlers take a text as it is and answer with a list."""

    predict_path: str = "/predictions/{model}"

    def body(self, text: str) -> Body:
        return Body(text.encode(), "text/plain; charset=utf-8")

    def read(self, answer: bytes) -> Prediction:
        return _checked(_parsed(answer), answer)


@dataclass(frozen=True, slots=True)
class OneText:
    """LitServe: JSON with the text; a list."""

    predict_path: str = "/{model}"

    def body(self, text: str) -> Body:
        return _json({"text": text})

    def read(self, answer: bytes) -> Prediction:
        return _checked(_parsed(answer), answer)


@dataclass(frozen=True, slots=True)
class ListOfTexts:
    """BentoML: the argument that batches are made of is a list; a list of lists."""

    predict_path: str = "/{model}"

    def body(self, text: str) -> Body:
        return _json({"texts": [text]})

    def read(self, answer: bytes) -> Prediction:
        found = _parsed(answer)
        return _checked(found[0] if isinstance(found, list) and len(found) == 1 else None, answer)


@dataclass(frozen=True, slots=True)
class V2:
    """Triton: the V2 protocol's JSON, with a tensor of one string; two tensors.

    https://github.com/kserve/open-inference-protocol
    """

    predict_path: str = "/v2/models/{model}/infer"

    def body(self, text: str) -> Body:
        return _json({"inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]})

    def read(self, answer: bytes) -> Prediction:
        try:
            tensors = {each["name"]: each["data"] for each in _parsed(answer)["outputs"]}
            pairs = zip(tensors["LABEL"], tensors["PROBABILITY"], strict=True)
            found = [{"label": label, "probability": probability} for label, probability in pairs]
        except (KeyError, TypeError, ValueError):
            raise _unreadable(answer) from None
        return _checked(found, answer)


def worst_difference(right: Sequence[Prediction], found: Sequence[Prediction]) -> float:
    """The largest difference of two probabilities of the same label of the same text; infinite where one of
    the two lacks a label."""
    worst = 0.0
    for one, other in zip(right, found, strict=True):
        expected, told = ({each["label"]: each["probability"] for each in side} for side in (one, other))
        if expected.keys() != told.keys():
            return float("inf")
        worst = max([worst, *(abs(expected[label] - told[label]) for label in expected)])
    return worst


def _json(value: object) -> Body:
    return Body(json.dumps(value).encode(), "application/json")


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        raise _unreadable(answer) from None


def _checked(found: Any, answer: bytes) -> Prediction:
    if isinstance(found, list) and found and all(map(_is_labelled, found)):
        return found
    raise _unreadable(answer)


def _is_labelled(one: Any) -> bool:
    if not isinstance(one, dict) or set(one) != {"label", "probability"}:
        return False
    return isinstance(one["label"], str) and isinstance(one["probability"], (int, float))


def _unreadable(answer: bytes) -> AnswerError:
    return AnswerError(
        f"an answer holds no labels and probabilities: {answer[:200].decode(errors='replace')}"
    )
