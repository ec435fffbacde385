"""What is measured next: the search of --search, and what it shares with the race of --until-sure. Pure.

From a prediction and the results so far to the next cell, or to why none is left that can win. How a trial is
measured, and that it is measured at all, is the business of measure/.
"""

from experiments.search.evidence import Standing
from experiments.search.rules import Rules, rules_of
from experiments.search.search import Done, Outcome, next_cell, next_runs, outcome

__all__ = ["Done", "Outcome", "Rules", "Standing", "next_cell", "next_runs", "outcome", "rules_of"]
