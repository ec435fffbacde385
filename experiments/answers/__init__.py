"""Answers: are those of a trial right? Against a reference that is calculated slowly, or an earlier trial's.

compare.py says how far two answers are apart, reference.py has our handlers' plain forward pass answer,
check.py looks at all that a trial kept. Not here: keeping them (load/kept.py), what follows (measure/).
"""

from experiments.answers.check import AnswerCheck, Checked
from experiments.answers.reference import Reference, read_reference, write_reference

__all__ = ["AnswerCheck", "Checked", "Reference", "read_reference", "write_reference"]
