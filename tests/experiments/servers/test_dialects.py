"""What each server is sent, and how its answer is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.servers.dialects import (
    V2,
    AnswerError,
    Dialect,
    ListOfTexts,
    OneText,
    PlainText,
    Prediction,
    worst_difference,
)

SAID = [{"label": "good", "probability": 0.75}, {"label": "bad", "probability": 0.25}]
IN_TENSORS = {
    "model_name": "model",
    "outputs": [
        {"name": "LABEL", "datatype": "BYTES", "shape": [1, 2], "data": ["good", "bad"]},
        {"name": "PROBABILITY", "datatype": "FP32", "shape": [1, 2], "data": [0.75, 0.25]},
    ],
}
ANSWERS = [(PlainText(), SAID), (OneText(), SAID), (ListOfTexts(), [SAID]), (V2(), IN_TENSORS)]
DIALECTS = [dialect for dialect, _ in ANSWERS]


@pytest.mark.parametrize(("dialect", "answer"), ANSWERS)
def test_all_of_them_say_the_same_in_a_form_of_their_own(dialect: Dialect, answer: object) -> None:
    assert dialect.read(json.dumps(answer).encode()) == SAID


def test_a_text_is_asked_for_as_a_user_of_the_server_would() -> None:
    assert PlainText().body("Grüße").data == "Grüße".encode()
    assert json.loads(OneText().body("Hi").data) == {"text": "Hi"}
    assert json.loads(ListOfTexts().body("Hi").data) == {"texts": ["Hi"]}
    (tensor,) = json.loads(V2().body("Hi").data)["inputs"]
    assert tensor == {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["Hi"]}


def test_images_are_sent_as_files_or_in_base64() -> None:
    assert PlainText().body(b"\xff\xd8").data == b"\xff\xd8"
    assert json.loads(OneText().body(b"\xff\xd8").data) == {"image": "/9g="}
    assert json.loads(ListOfTexts().body(b"\xff\xd8").data) == {"images": ["/9g="]}
    (tensor,) = json.loads(V2().body(b"\xff\xd8").data)["inputs"]
    assert (tensor["name"], tensor["data"]) == ("IMAGE", ["/9g="])


def test_several_texts_share_a_request() -> None:
    assert json.loads(PlainText().body("Hi", "No").data) == ["Hi", "No"]
    assert json.loads(OneText().body("Hi", "No").data) == {"texts": ["Hi", "No"]}
    assert json.loads(ListOfTexts().body("Hi", "No").data) == {"texts": ["Hi", "No"]}
    (tensor,) = json.loads(V2().body("Hi", "No").data)["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([2, 1], ["Hi", "No"])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_answer_to_several_texts_has_a_prediction_for_each(dialect: Dialect) -> None:
    rows = {"LABEL": ["good", "bad"] * 2, "PROBABILITY": [0.75, 0.25] * 2}
    tensors = {"outputs": [{"name": name, "shape": [2, 2], "data": data} for name, data in rows.items()]}
    answer = tensors if isinstance(dialect, V2) else [SAID, SAID]
    assert dialect.read_each(json.dumps(answer).encode()) == [SAID, SAID]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(answer=st.binary() | st.text().map(str.encode))
def test_no_answer_breaks_a_reader_of_several(dialect: Dialect, answer: bytes) -> None:
    with pytest.raises(AnswerError):
        dialect.read_each(answer)


VECTORS = [[0.25, -1.0, 3], [0.5, 0.0, 1e-9]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_embeddings_are_vectors(dialect: Dialect) -> None:
    def answer(vectors: list[list[float]]) -> bytes:
        data = [number for vector in vectors for number in vector]
        tensors = {"outputs": [{"name": "VECTOR", "shape": [len(vectors), 3], "data": data}]}
        several = len(vectors) > 1 or isinstance(dialect, ListOfTexts)
        own = vectors if several else vectors[0]
        return json.dumps(tensors if isinstance(dialect, V2) else own).encode()

    assert dialect.read(answer(VECTORS[:1])) == VECTORS[0]
    assert dialect.read_each(answer(VECTORS)) == VECTORS


def test_vectors_differ_by_their_worst_number_relative_to_their_length() -> None:
    assert worst_difference([[3.0, 4.0]], [[3.0, 4.5]]) == pytest.approx(0.1)
    assert worst_difference(VECTORS, VECTORS) == 0.0


@pytest.mark.parametrize("other", [[3.0], [3.0, float("nan")], SAID, []])
def test_what_is_no_such_vector_is_infinitely_wrong(other: Prediction) -> None:
    assert worst_difference([[3.0, 4.0]], [other]) == float("inf")
    assert worst_difference([other], [[3.0, 4.0]]) == float("inf")


def test_a_probability_that_is_no_number_is_infinitely_wrong() -> None:
    none = [{"label": "good", "probability": float("nan")}, SAID[1]]
    assert worst_difference([SAID], [none]) == float("inf")


def test_of_the_top_labels_the_last_may_change_places_with_one_not_told() -> None:
    right = [{"label": "a", "probability": 0.3}, {"label": "b", "probability": 0.2}]
    found = [{"label": "a", "probability": 0.3}, {"label": "c", "probability": 0.21}]
    assert worst_difference([right], [found]) == pytest.approx(0.01)


@given(st.text())
def test_a_text_survives_whatever_is_in_it(text: str) -> None:
    text = text.encode(errors="replace").decode()
    assert json.loads(OneText().body(text).data)["text"] == text
    assert json.loads(V2().body(text).data)["inputs"][0]["data"] == [text]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"null", b"[]", b"{}", b"[[]]", b'{"outputs": [{"name": "LABEL", "data": ["good"]}]}'],
)
def test_what_is_no_answer_is_told_as_it_came(dialect: Dialect, answer: bytes) -> None:
    with pytest.raises(AnswerError, match="holds no labels and probabilities"):
        dialect.read(answer)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(answer=st.binary())
def test_no_answer_breaks_a_reader(dialect: Dialect, answer: bytes) -> None:
    with pytest.raises(AnswerError):
        dialect.read(answer)


def test_answers_differ_by_their_worst_probability_whatever_the_order() -> None:
    other = [{"label": "bad", "probability": 0.26}, {"label": "good", "probability": 0.74}]
    assert worst_difference([SAID, SAID], [SAID, other]) == pytest.approx(0.01)
    assert worst_difference([SAID], [SAID]) == 0.0


@pytest.mark.parametrize("lacking", [[], SAID[:1], [{"label": "else", "probability": 1.0}]])
def test_other_labels_are_infinitely_wrong(lacking: Prediction) -> None:
    assert worst_difference([SAID], [lacking]) == float("inf")
