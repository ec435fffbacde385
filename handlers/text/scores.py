"""What a classifier's head puts out -> scores, as the checkpoint's `problem_type` wants them.

As in transformers' text-classification pipeline, but for one thing: a head of a single label that names no
problem is taken for a regression, whose raw score is told; the pipeline would press it through a sigmoid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

PROBLEMS = (None, "single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True, slots=True)
class Scores:
    """`told_as`: probability, or score where it is none; `of`: logits, n x labels -> scores, n x labels."""

    told_as: str
    of: Callable[[torch.Tensor], torch.Tensor]


def scores_of(config: Any) -> Scores:
    """The scores of a transformers config: of labels that exclude each other, of labels each by itself, or of
    a regression."""
    problem, single = config.problem_type, config.num_labels == 1
    if problem == "regression" or (problem is None and single):
        return Scores("score", _as_they_are)
    if problem == "multi_label_classification" or single:
        return Scores("probability", torch.sigmoid)
    return Scores("probability", _softmax)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return torch.softmax(logits, dim=-1)


def _as_they_are(logits: torch.Tensor) -> torch.Tensor:
    return logits
