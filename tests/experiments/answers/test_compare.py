"""Two answers: how far apart they are, and when the one is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.answers.compare import difference, foreign_difference, parsed

PROBABILITIES = st.lists(st.floats(0.001, 1), min_size=2, max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def labelled(*values: float, names: str = "abcdef") -> list[dict[str, Any]]:
    """An answer of a classifier, the most probable first."""
    told = [{"label": name, "probability": value} for name, value in zip(names, values, strict=False)]
    return sorted(told, key=lambda one: -float(one["probability"]))


@given(values=PROBABILITIES, off=st.floats(-1e-3, 1e-3), kept=st.integers(1, 6))
def test_rounding_is_no_difference_and_the_first_few_are_enough(
    values: list[float], off: float, kept: int
) -> None:
    right = labelled(*values)
    found = [{**one, "probability": one["probability"] + off} for one in right][:kept]
    told = difference(right, found, tolerance=2e-3)
    assert told.wrong is None
    assert told.top is True
    assert abs(told.worst - abs(off)) < 1e-9


@given(values=PROBABILITIES, place=st.integers(0, 5), off=st.floats(0.011, 0.5) | st.floats(-0.5, -0.011))
def test_a_number_that_is_off_is_wrong_and_named(values: list[float], place: int, off: float) -> None:
    right = labelled(*values)
    place %= len(right)
    found = [dict(one) for one in right]
    found[place]["probability"] += off
    told = difference(right, found, tolerance=0.01)
    assert told.wrong is not None
    assert told.wrong.startswith(f"{right[place]['label']} ")
    assert told.worst == pytest.approx(abs(off))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "where labels are right"),
        ("no answer", "where labels are right"),
        ([0.7, 0.3], "where labels are right"),
        ([{"label": "a", "score": 0.7}, {"label": "b", "score": 0.3}], "where labels are right"),
        (labelled(0.7, 0.3, names="ax"), "a label that the model does not have"),
        (labelled(0.7, 0.7, names="aa"), "a label that the model does not have"),
        (labelled(0.1, names="b"), "a is missing, 0.9 is right"),
        ([{"label": "a", "probability": float("nan")}, {"label": "b", "probability": 0.1}], "a nan"),
    ],
)
def test_what_is_no_answer_of_this_model_is_wrong(found: Any, why: str) -> None:
    told = difference(labelled(0.9, 0.1), found, tolerance=0.05)
    assert told.wrong is not None
    assert why in told.wrong


def test_another_order_of_near_ties_is_right_but_seen() -> None:
    told = difference(labelled(0.501, 0.499), labelled(0.4995, 0.5005), tolerance=5e-3)
    assert (told.wrong, told.top) == (None, False)


def test_two_labels_of_the_same_name_are_two() -> None:
    right = labelled(0.5, 0.4, 0.1, names=("crane", "crane", "dog"))  # type: ignore[arg-type]
    assert difference(right, right[:2], 1e-4).wrong is None
    assert difference(right, [right[0], right[2]], 1e-4).wrong == "crane is missing, 0.4 is right"


def test_vectors_differ_by_a_part_of_their_length() -> None:
    assert difference([3.0, 4.0], [3.0, 4.04], tolerance=0.01).wrong is None
    assert difference([3.0, 4.0], [3.0, 4.06], tolerance=0.01).wrong is not None
    assert difference([3.0, 4.0], [3.0, float("nan")], tolerance=0.01).wrong is not None
    assert "a vector of 2" in (difference([3.0, 4.0], [3.0], tolerance=0.01).wrong or "")


def test_several_inputs_are_compared_one_by_one() -> None:
    right = [labelled(0.9, 0.1), labelled(0.2, 0.8)]
    assert difference(right, right, 1e-4).wrong is None
    assert difference(right, right[::-1], 1e-4).wrong == "input 1: a 0.2, where 0.9 is right"
    assert difference({"predictions": right}, {"predictions": right}, 1e-4).wrong is None
    assert difference(right, right[:1], 1e-4).wrong is not None


@pytest.mark.thorough
@given(value=JSON)
def test_any_answer_of_a_foreign_model_is_like_itself(value: Any) -> None:
    again = parsed(json.dumps(value).encode())
    assert foreign_difference(again, parsed(json.dumps(value).encode())).wrong is None


@pytest.mark.parametrize(
    ("was", "found"),
    [
        ({"a": 1.0}, {"a": 1.5}),
        ({"a": 1.0}, {"b": 1.0}),
        ("cat", "dog"),
        ([1], [1, 1]),
        (True, 1),
        (None, 0),
        ({"a": [{"b": "x"}]}, {"a": [{"b": "y"}]}),
    ],
)
def test_another_answer_of_a_foreign_model_is_seen(was: Any, found: Any) -> None:
    assert foreign_difference(was, found).wrong is not None


def test_what_is_no_json_is_compared_as_text() -> None:
    assert foreign_difference(parsed(b"ok"), parsed(b"ok")).wrong is None
    assert foreign_difference(parsed(b"ok"), parsed(b"\xff")).wrong is not None
