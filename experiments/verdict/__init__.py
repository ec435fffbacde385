"""What results say: statistics, summary, diagnosis, advice; what others published. Pure functions.

Nothing here measures; how it looks on a page or a terminal is the business of report/.
"""

from experiments.verdict.sentence import besides, verdict_sentence
from experiments.verdict.verdict import Verdict, judge

__all__ = ["Verdict", "besides", "judge", "verdict_sentence"]
