"""A search at one moment: who leads, who may still be better, and what is worth measuring next.

The cell is measured that may improve most on the leader, for the time that it takes: where the prediction and
what was measured (belief.py) say so. A cell gets one run, and more only while it may be the best. The search
is over when, with the confidence of its rules, no cell is better than the leader by more than is worth
finding (worth.py).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from experiments.base.arrays import Floats
from experiments.plan import Cell, Plan
from experiments.predict.predicted import Predictor
from experiments.results.trial_result import TrialResult
from experiments.search.axes import axes_of, typical
from experiments.search.belief import believed, counted_runs
from experiments.search.evidence import (
    Seen,
    Standing,
    attempts_of,
    expected_s,
    is_hopeless,
    leader_first,
    logs_of,
    why_hopeless,
)
from experiments.search.rules import Rules
from experiments.search.worth import change_s, worth_finding

LIKELY = 0.5  # what a leader's chance to keep the bounds is at least
MORE_RUNS, OVER = "", "nothing that is left can be better by more than is worth finding"


class State:
    """Cells go by their number in the order of `attempts`, which is that of servers."""

    def __init__(
        self, plan: Plan, results: Sequence[TrialResult], predictor: Predictor | None, rules: Rules
    ) -> None:
        self.plan, self.results, self.rules = plan, results, rules
        self.attempts: Seen = attempts_of(plan, results)
        self.cells = tuple(self.attempts)
        self.belief = believed(self.attempts, rules.goal, predictor, plan.runs)
        self.worth = worth_finding(plan, rules, self.belief.figure.noise)
        self.unsure = 1 - rules.confidence
        logs = [logs_of(rules.goal, own) for own in counted_runs(self.attempts).values()]
        self.runs = np.array([len(own) for own in self.attempts.values()])
        self.medians = np.array([np.median(own) if own.size else -np.inf for own in logs])
        self.measured = np.isfinite(self.medians)
        self.hopeless = np.array([is_hopeless(own, rules.goal) for own in self.attempts.values()])
        self.open = ~self.hopeless & (self.runs < rules.most_runs)
        able = self.measured & (self.belief.keeps >= LIKELY)
        best = int(np.argmax(np.where(able, self.belief.figure.mean, -np.inf)))
        self.leader = best if able.any() else None

    def decided(self) -> tuple[Cell | None, str]:
        """The cell to measure now, or why the search is over."""
        if not self.open.any():
            return None, "every configuration has all the runs that one gets"
        if not self.measured.any():
            return self.cells[self._first()], MORE_RUNS
        if self.leader is None:
            return self._without_leader()
        if self.belief.chance_any_above(self.leader, self.worth, self.open) > self.unsure:
            return self.cells[self._most_worthwhile(self.leader)], MORE_RUNS
        wanting = self._wanting_runs(self.leader)
        return (None, OVER) if wanting is None else (self.cells[wanting], MORE_RUNS)

    def standing(self) -> Standing:
        """Who may be the best, and why the others can't be."""
        goal = self.rules.goal
        out = {
            cell: why_hopeless(runs, goal)
            for (cell, runs), hopeless in zip(self.attempts.items(), self.hopeless, strict=True)
            if hopeless
        }
        for number in self._beaten():
            out.setdefault(self.cells[number], self._why_out(number))
        left = tuple(cell for cell in self.cells if cell not in out)
        return leader_first(Standing(left, out), self.attempts, goal)

    def _first(self) -> int:
        """Of the cells tried least the best by what is expected; where nothing is, the most typical one."""
        tried_more = self.runs > self.runs[self.open].min()
        expected = self.belief.figure.mean + np.log(np.maximum(self.belief.keeps, 1e-9))
        known = typical(axes_of(self.cells), len(self.cells))
        return int(np.lexsort((-known, -expected, tried_more, ~self.open))[0])

    def _without_leader(self) -> tuple[Cell | None, str]:
        """Nothing that was measured rather keeps the bounds than not."""
        hopes = np.where(self.open, self.belief.keeps, 0.0)
        if hopes.sum() <= self.unsure:
            return None, "nothing keeps the bounds"
        return self.cells[int(np.argmax(hopes))], MORE_RUNS

    def _most_worthwhile(self, leader: int) -> int:
        """The cell that may gain most on the leader in the time that it takes. Where it has had more runs
        than the leader, the doubt is about the leader."""
        gains = self.belief.gain(leader) / self._takes_s()
        best = int(np.argmax(np.where(self.open, gains, -1.0)))
        return leader if self.open[leader] and self.runs[best] > self.runs[leader] else best

    def _wanting_runs(self, leader: int) -> int | None:
        """The leader until it has as many runs as in a full grid, so that its figures are as good; then what
        looks better by fewer runs than that, as luck may have it."""
        if self.open[leader] and self.runs[leader] < self.plan.runs:
            return leader
        lucky = self.open & (self.medians > self.medians[leader]) & (self.belief.keeps >= LIKELY)
        lucky &= self.runs < self.plan.runs
        return int(np.argmax(np.where(lucky, self.medians, -np.inf))) if lucky.any() else None

    def _takes_s(self) -> Floats:
        """What a run of each cell takes now, with the start of a server and the loading of a model."""
        now = self.results[-1].trial.cell if self.results else None
        return np.array(
            [
                expected_s(self.plan, runs or self.results, cell) + change_s(now, cell)
                for cell, runs in self.attempts.items()
            ]
        )

    def _beaten(self) -> npt.NDArray[np.intp]:
        """The cells that are surely not better; those that were never measured, not by more than is worth
        finding. With the confidence of the rules that is true of all of them together."""
        if self.leader is None:
            keeps = self.belief.keeps
            return np.flatnonzero((keeps.sum() <= self.unsure) | (keeps <= self.unsure / keeps.size))
        level = self.unsure / max(1, len(self.cells) - 1)
        chances = self.belief.chance_above(self.leader, self.worth)
        if self.belief.chance_any_above(self.leader, self.worth, ~self.measured) <= self.unsure:
            chances[~self.measured] = 0.0
        chances[self.measured] = self.belief.chance_above(self.leader, 0.0)[self.measured]
        out = chances <= level
        out[self.leader] = False
        return np.flatnonzero(out)

    def _why_out(self, number: int) -> str:
        bounds = " and ".join(map(str, self.rules.goal.bounds))
        breaks = self.leader is None or self.belief.keeps[number] <= self.unsure
        why = (
            f"breaks {bounds}" if breaks or self.leader is None else f"slower than {self.cells[self.leader]}"
        )
        return why if self.measured[number] else f"never measured: by what the others show, {why}"
