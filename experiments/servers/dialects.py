"""How each server is asked, and what it says: texts or images -> a request's body; an answer -> predictions.

Classifiers answer with the labels of each and their probabilities, the most probable first, embeddings with a
vector. The forms are what a user of that server would write; images are raw in TorchServe, base64 in JSON.
Pure.
"""

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.base.errors import ExperimentError
from experiments.load import Body

Input = str | bytes
"""What a model predicts from: a text, or the bytes of an image file."""

Prediction = list[Any]
"""What is said of an input: {"label", "probability"} of each of the labels, the most probable first, or the
numbers of its vector."""

WHOLE = 0.999
"""What the probabilities of all labels sum to, rounding apart; those of the top few are less."""


class AnswerError(ExperimentError):
    """A server's answer is not of the form that its requests ask for."""


class Dialect(Protocol):
    """What differs between servers on the wire. `path` may hold `{model}`."""

    @property
    def predict_path(self) -> str: ...
    def body(self, *inputs: Input) -> Body:
        """A request that asks for the prediction of an input, or of several: all texts, or all images."""
        ...

    def read(self, answer: bytes) -> Prediction:
        """What it said of the one input of a request. Raises AnswerError."""
        ...

    def read_each(self, answer: bytes) -> list[Prediction]:
        """What it said of each of the several inputs of a request, in their order. Raises AnswerError."""
        ...


@dataclass(frozen=True, slots=True)
class PlainText:
    """TorchServe's handlers take a text or an image file as it is, several as a JSON list, and answer with a
    list, or a list of them."""

    predict_path: str = "/predictions/{model}"

    def body(self, *inputs: Input) -> Body:
        if len(inputs) > 1:
            return _json([_carried(each) for each in inputs])
        if isinstance(inputs[0], bytes):
            return Body(inputs[0], "image/jpeg")
        return Body(inputs[0].encode(), "text/plain; charset=utf-8")

    def read(self, answer: bytes) -> Prediction:
        return _checked(_parsed(answer), answer)

    def read_each(self, answer: bytes) -> list[Prediction]:
        return _each_checked(_parsed(answer), answer)


@dataclass(frozen=True, slots=True)
class OneText:
    """LitServe: JSON with the text or the image, or a list of them; a list, or a list of lists."""

    predict_path: str = "/{model}"

    def body(self, *inputs: Input) -> Body:
        key, values = _kind(inputs), [_carried(each) for each in inputs]
        return _json({f"{key}s": values} if len(values) > 1 else {key: values[0]})

    def read(self, answer: bytes) -> Prediction:
        return _checked(_parsed(answer), answer)

    def read_each(self, answer: bytes) -> list[Prediction]:
        return _each_checked(_parsed(answer), answer)


@dataclass(frozen=True, slots=True)
class ListOfTexts:
    """BentoML: the argument that batches are made of is a list; a list of lists."""

    predict_path: str = "/{model}"

    def body(self, *inputs: Input) -> Body:
        return _json({f"{_kind(inputs)}s": [_carried(each) for each in inputs]})

    def read(self, answer: bytes) -> Prediction:
        found = _parsed(answer)
        return _checked(found[0] if isinstance(found, list) and len(found) == 1 else None, answer)

    def read_each(self, answer: bytes) -> list[Prediction]:
        return _each_checked(_parsed(answer), answer)


@dataclass(frozen=True, slots=True)
class V2:
    """Triton: the V2 protocol's JSON, with a tensor of strings; two tensors, with a row for each, or one of
    vectors.

    https://github.com/kserve/open-inference-protocol
    """

    predict_path: str = "/v2/models/{model}/infer"

    def body(self, *inputs: Input) -> Body:
        tensor = {"name": _kind(inputs).upper(), "shape": [len(inputs), 1], "datatype": "BYTES"}
        return _json({"inputs": [tensor | {"data": [_carried(each) for each in inputs]}]})

    def read(self, answer: bytes) -> Prediction:
        found = self.read_each(answer)
        if len(found) != 1:
            raise _unreadable(answer)
        return found[0]

    def read_each(self, answer: bytes) -> list[Prediction]:
        try:
            tensors = {each["name"]: each for each in _parsed(answer)["outputs"]}
            name = "VECTOR" if "VECTOR" in tensors else "LABEL"
            found = tensors[name]["data"]
            if name == "LABEL":
                pairs = zip(found, tensors["PROBABILITY"]["data"], strict=True)
                found = [{"label": label, "probability": probability} for label, probability in pairs]
            rows = _rows(found, *tensors[name]["shape"])
        except (KeyError, TypeError, ValueError):
            raise _unreadable(answer) from None
        return _each_checked(rows, answer)


def worst_difference(right: Sequence[Prediction], found: Sequence[Prediction]) -> float:
    """The largest difference of two probabilities of the same label of the same input, or of two numbers of
    its vector, relative to that one's length; infinite where one of the two lacks a label or a number.

    Of the top few labels, equal in number, the last may change places with one that is not told: such a one
    is at most as probable as the last.
    """
    return max((_difference(one, other) for one, other in zip(right, found, strict=True)), default=0.0)


def _difference(right: Prediction, found: Prediction) -> float:
    vectors = _is_vector(right), _is_vector(found)
    if all(vectors) and len(right) == len(found):
        length = math.hypot(*right) or 1.0
        return _largest([(one - other) / length for one, other in zip(right, found, strict=True)])
    if any(vectors):
        return math.inf
    expected, told = ({each["label"]: each["probability"] for each in side} for side in (right, found))
    if len(expected) != len(told) or (expected.keys() != told.keys() and _is_whole(expected, told)):
        return math.inf
    apart = [expected[label] - told[label] for label in expected.keys() & told.keys()]
    for side, its_rival in ((expected, told), (told, expected)):
        lacking = side.keys() - its_rival.keys()
        apart += [max(side[label] - min(its_rival.values()), 0.0) for label in lacking]
    return _largest(apart)


def _largest(apart: Sequence[float]) -> float:
    """What is no number is as far off as can be."""
    return math.inf if any(map(math.isnan, apart)) else max(map(abs, apart), default=0.0)


def _is_whole(*sides: Mapping[str, float]) -> bool:
    return any(not side or sum(side.values()) > WHOLE for side in sides)


def _kind(inputs: Sequence[Input]) -> str:
    return "image" if isinstance(inputs[0], bytes) else "text"


def _carried(one: Input) -> str:
    """As JSON can hold it."""
    return b64encode(one).decode() if isinstance(one, bytes) else one


def _json(value: object) -> Body:
    return Body(json.dumps(value).encode(), "application/json")


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        raise _unreadable(answer) from None


def _rows(values: Sequence[Any], rows: int, width: int) -> list[Sequence[Any]]:
    """A tensor's values as its rows. Raises ValueError where they are of another number."""
    if len(values) != rows * width:
        raise ValueError(f"{len(values)} values are no {rows} x {width}")
    return [values[row * width : (row + 1) * width] for row in range(rows)]


def _checked(found: Any, answer: bytes) -> Prediction:
    if isinstance(found, list) and found and (all(map(_is_labelled, found)) or _is_vector(found)):
        return found
    raise _unreadable(answer)


def _each_checked(found: Any, answer: bytes) -> list[Prediction]:
    if isinstance(found, list) and found:
        return [_checked(each, answer) for each in found]
    raise _unreadable(answer)


def _is_labelled(one: Any) -> bool:
    if not isinstance(one, dict) or set(one) != {"label", "probability"}:
        return False
    return isinstance(one["label"], str) and isinstance(one["probability"], (int, float))


def _is_vector(found: Prediction) -> bool:
    return bool(found) and all(type(each) in (float, int) for each in found)


def _unreadable(answer: bytes) -> AnswerError:
    return AnswerError(
        f"an answer holds no labels and probabilities, and no vector: {answer[:200].decode(errors='replace')}"
    )
