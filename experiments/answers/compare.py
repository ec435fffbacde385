"""How far an answer is from the one that is right. Pure: two parsed JSON values -> a difference, or a reason.

Labels are compared by their names, whatever their order, vectors as a whole, everything else place by place.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VALUES = ("probability", "score")
TOLERANCE = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 2e-2, "bf16": 3e-2, "int8": 1e-1}
"""Of a probability, of a score relative to its size, and of a vector's numbers relative to its length. What
the handlers keep to on an H200 (tests/integration/handlers/test_handlers_on_gpu.py), bf16 with some room; of
int8, what archives are held to when they are built (handlers/archive/parity/)."""
FOREIGN_TOLERANCE = 1e-2  # relative, of numbers in answers that we know nothing of


@dataclass(frozen=True, slots=True)
class Difference:
    """`worst` is the largest one of all numbers, `wrong` why the answer is not right, None where it is;
    `top` tells whether the first labels are the same, None where there are none."""

    worst: float = 0.0
    wrong: str | None = None
    top: bool | None = None


def parsed(answer: bytes) -> Any:
    """An answer's JSON; what is none stands for itself, as text."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode("utf-8", "replace")


def difference(expected: Any, found: Any, tolerance: float) -> Difference:
    """Of an answer of our handlers from the reference, whose labels are all there. An answer may have the
    first few of them only; what it leaves out may not be more probable than what it has."""
    if _is_labelled(expected):
        return _of_labels(expected, found, tolerance)
    if _is_vector(expected):
        return _of_vectors(expected, found, tolerance)
    if (parts := _parts(expected, found)) is not None:
        differences = [difference(one, other, tolerance) for _, one, other in parts]
        return _worst(differences, [place for place, _, _ in parts])
    return Difference(wrong=f"{_short(found)}, where {_short(expected)} is right")


def foreign_difference(expected: Any, found: Any, tolerance: float = FOREIGN_TOLERANCE) -> Difference:
    """Of two answers of a model that we know nothing of: numbers may differ a little, all else may not."""
    if _is_number(expected) and _is_number(found):
        off = abs(found - expected) / max(1e-3, abs(expected))
        return _judged(off, tolerance, f"{_short(found)}, where it was {_short(expected)}")
    if (parts := _parts(expected, found)) is not None:
        return _worst([foreign_difference(one, other, tolerance) for _, one, other in parts])
    if type(expected) is type(found) and expected == found:
        return Difference()
    return Difference(wrong=f"{_short(found)}, where it was {_short(expected)}")


def _parts(expected: Any, found: Any) -> list[tuple[str, Any, Any]] | None:
    """What two objects of the same keys, or lists of the same length, hold at the same place, with the
    place's name; None where they have no such parts."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping) and expected.keys() == found.keys():
        return [(f"{key}: ", expected[key], found[key]) for key in expected]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True), 1)
        return [(f"input {number}: ", one, other) for number, (one, other) in pairs]
    return None


def _of_labels(expected: Sequence[Mapping[str, Any]], found: Any, tolerance: float) -> Difference:
    if not _is_labelled(found) or set(found[0]) != set(expected[0]):
        return Difference(wrong=f"{_short(found)}, where labels are right")
    value = next(name for name in VALUES if name in expected[0])
    right, told = _by_label(expected, value), _by_label(found, value)
    top = found[0]["label"] == expected[0]["label"]
    if any(len(values) > len(right.get(label, ())) for label, values in told.items()):
        return Difference(wrong=f"{_short(found)}: a label that the model does not have", top=top)
    least = min(one[value] for one in found)
    differences = []
    for label, values in right.items():
        for place, is_right in enumerate(values):
            said = f"{is_right:.4g} is right"
            if place < len(told.get(label, ())):
                is_told = told[label][place]
                off = abs(is_told - is_right) / max(1.0, abs(is_right))
                differences.append(_judged(off, tolerance, f"{label} {is_told:.4g}, where {said}", top))
            elif is_right > least:
                differences.append(_judged(is_right - least, tolerance, f"{label} is missing, {said}", top))
    return _worst(differences)


def _by_label(answer: Sequence[Mapping[str, Any]], value: str) -> dict[str, list[float]]:
    """The values of each label, the largest first: ImageNet has two labels 'crane'."""
    by_label: dict[str, list[float]] = {}
    for one in answer:
        by_label.setdefault(one["label"], []).append(one[value])
    return {label: sorted(values, reverse=True) for label, values in by_label.items()}


def _of_vectors(expected: Sequence[float], found: Any, tolerance: float) -> Difference:
    if not _is_vector(found) or len(found) != len(expected):
        return Difference(wrong=f"{_short(found)}, where a vector of {len(expected)} numbers is right")
    length = math.sqrt(sum(number * number for number in expected)) or 1.0
    apart = max(abs(one - other) for one, other in zip(expected, found, strict=True)) / length
    off = math.inf if any(math.isnan(number) for number in found) else apart
    return _judged(off, tolerance, f"a number of the vector is off by {off:.2g} of its length")


def _judged(off: float, tolerance: float, told: str, top: bool | None = None) -> Difference:
    off = math.inf if math.isnan(off) else off
    return Difference(off, told if off > tolerance else None, top)


def _worst(differences: Sequence[Difference], places: Sequence[str] = ()) -> Difference:
    """All of them as one: the largest, the first reason with its place, and whether all tops agree."""
    wrong = next(
        (
            (places[number] if places else "") + one.wrong
            for number, one in enumerate(differences)
            if one.wrong is not None
        ),
        None,
    )
    tops = [one.top for one in differences if one.top is not None]
    return Difference(
        max((one.worst for one in differences), default=0.0), wrong, all(tops) if tops else None
    )


def _is_labelled(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(one, dict) and len(one) == 2 and isinstance(one.get("label"), str) for one in value
        )
        and any(all(_is_number(one.get(name)) for one in value) for name in VALUES)
    )


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= 60 else f"{text[:57]}..."
