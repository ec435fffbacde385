"""What is told of the differences between an engine and torch, and when they are too large."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handlers.archive.parity.differences import TOLERANCE, Outputs, Parity, parity_of
from handlers.archive.parity.inputs import LONGEST_WORDS, TEXTS, our_texts


def table(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32)


def compared(expected: Outputs, found: Outputs, precision: str = "fp32") -> Parity:
    return parity_of("openvino", precision, "2026.4.1", "ours", expected, found)


def test_a_classifiers_logits_probabilities_and_labels_are_compared() -> None:
    expected = Outputs(table([1, 0], [0, 2]), table([0.75, 0.25], [0.1, 0.9]))
    found = Outputs(table([1, 0.5], [0, 2]), table([0.375, 0.625], [0.1, 0.9]))
    parity = compared(expected, found)
    assert (parity.largest, parity.mean) == (0.5, 0.125)
    assert (parity.largest_probability, parity.mean_probability) == (0.375, 0.1875)
    assert parity.equal_labels == 0.5
    assert not parity.within
    assert "50.0% of the labels are equal: beyond the 1e-05 of fp32" in str(parity)


def test_vectors_are_compared_by_their_length_and_have_no_labels() -> None:
    parity = compared(Outputs(table([30, 40])), Outputs(table([30, 40.005])), "bf16")
    assert parity.largest == pytest.approx(1e-4, rel=1e-2)
    assert parity.equal_labels is parity.largest_probability is None
    assert parity.within
    assert str(parity).startswith("openvino in bf16, over 1 inputs, differs from torch in fp32 by 0.0001")


def test_what_is_no_number_is_beyond_any_tolerance() -> None:
    found = Outputs(table([float("nan"), 0]), table([float("nan"), 0]))
    parity = compared(Outputs(table([1, 0]), table([0.7, 0.3])), found, "int8")
    assert parity.largest == float("inf")
    assert not parity.within


@given(arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)), st.sampled_from([*TOLERANCE]))
def test_a_table_is_within_every_tolerance_of_itself(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], precision: str
) -> None:
    for outputs in (Outputs(values), Outputs(values, values)):
        assert compared(outputs, outputs, precision).within


def test_our_texts_are_of_all_lengths_and_the_same_each_time() -> None:
    texts = our_texts(["so many words", "and more"])
    lengths = [len(text.split()) for text in texts]
    assert len(texts) == TEXTS
    assert (min(lengths), max(lengths)) == (1, LONGEST_WORDS)
    assert lengths != sorted(lengths)
    assert texts == our_texts(["so many words", "and more"])
