"""All that a trial's load kept, held against what is right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.answers.compare import (
    TOLERANCE,
    Difference,
    difference,
    foreign_difference,
    parsed,
)
from experiments.answers.reference import Reference
from experiments.load import Answers, Body

LARGEST = 1e9  # told of a difference, where a number is none


@dataclass(frozen=True, slots=True)
class Checked:
    """How many answers were compared, how many of them are wrong, the largest difference, the share whose
    first label is the right one, and the first wrong answer in words."""

    answers: int = 0
    wrong: int = 0
    worst_difference: float | None = None
    top1_agreement: float | None = None
    first: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the trial is no result; None where every answer is right."""
        if not self.wrong:
            return None
        return f"{self.wrong} of {self.answers} answers that were checked are wrong; the first: {self.first}"


class AnswerCheck:
    """Checks the trials of a sweep, one after another, against one reference."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def check(
        self, answers: Answers, pool: Sequence[Body], inputs: int, precision: str, accepted: float = 0.0
    ) -> Checked:
        """The answers to `pool`, whose requests hold `inputs` each, of a trial in `precision`, which may
        differ by its tolerance, or where that is more by what was `accepted`, or by what rounding may do to
        this model. Those to a body without a reference are passed over."""
        tolerance = max(TOLERANCE[precision], accepted, self.reference.allowed(precision))
        right = self.reference.of(inputs, precision)
        found: list[tuple[int, int, Difference]] = []
        for number, known in answers.of.items():
            if number in right:
                for answer, count in known.items():
                    found.append((number, count, self._difference(right[number], answer, tolerance)))
        return _summed(found, pool)

    def _difference(self, expected: Any, answer: bytes, tolerance: float) -> Difference:
        if self.reference.foreign:
            return foreign_difference(expected, parsed(answer))
        return difference(expected, parsed(answer), tolerance)


def agrees_with_itself(answers: Answers) -> bool:
    """Whether a model that we know nothing of answers the same to the same, as far as one trial shows."""
    for known in answers.of.values():
        first, *others = map(parsed, known)
        if any(foreign_difference(first, other).wrong is not None for other in others):
            return False
    return True


def most_frequent(answers: Answers) -> Mapping[int, Any]:
    """The answer that came most often to each body, parsed."""
    return {number: parsed(max(known, key=lambda one: known[one])) for number, known in answers.of.items()}


def _summed(found: Sequence[tuple[int, int, Difference]], pool: Sequence[Body]) -> Checked:
    checked = sum(count for _, count, _ in found)
    if not checked:
        return Checked()
    wrong = [(number, count, one) for number, count, one in found if one.wrong is not None]
    topped = [(count, one.top) for _, count, one in found if one.top is not None]
    of_tops = sum(count for count, _ in topped)
    worst = max(one.worst for _, _, one in found)
    return Checked(
        answers=checked,
        wrong=sum(count for _, count, _ in wrong),
        worst_difference=worst if math.isfinite(worst) else LARGEST,
        top1_agreement=sum(count for count, same in topped if same) / of_tops if of_tops else None,
        first=f"{_named(pool[wrong[0][0]])}: {wrong[0][2].wrong}" if wrong else None,
    )


def _named(body: Body) -> str:
    """A body as a person knows it: its file, or how its text begins."""
    if body.name:
        return body.name
    if body.content_type.startswith(("text", "application/json")):
        text = body.data.decode("utf-8", "replace")
        return f"'{text[:40]}{'...' if len(text) > 40 else ''}'"
    return f"{body.content_type} of {len(body.data)} bytes"
