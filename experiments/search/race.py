"""--until-sure: which cells still need a run, and which can no longer be the best.

A race in rounds: every cell in it gets another run, then those that the leader has surely beaten leave. Pure
functions of a plan and its results so far, to be asked after every trial, of a resumed run too.

Two runs of a cell are too few for any rank test to show something. So here, and only here, noise is taken to
be about equal in all cells, in percent: the spread of their runs, pooled, tells how far apart is far enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt

import numpy as np

from experiments.base.arrays import Floats
from experiments.plan import Bound, Cell, Goal, Plan, Trial
from experiments.results.counting import best_attempts
from experiments.results.trial_result import TrialResult
from experiments.search.evidence import (
    Seen,
    Standing,
    attempts_of,
    comparisons,
    expected_s,
    free_runs,
    is_hopeless,
    leader_first,
    logs_of,
    margin_of_one,
    mean_of,
    measuring_time_s,
    why_hopeless,
)
from experiments.search.rules import Rules

# A lone run may have been disturbed. It rules its cell out only when the leader is faster by this factor,
# which is more than a disturbance costs that no check of the trial notices.
LONE_RUN_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Replay:
    """A race on recorded results, beside the decision that all of them give. Times are of measuring."""

    race: Standing
    full: Standing
    runs: int
    full_runs: int
    measuring_s: float
    full_measuring_s: float

    @property
    def agrees(self) -> bool:
        """Whether the race's leader is the full grid's, or one that the full grid can't tell from its own."""
        return set(self.race.contenders[:1]) <= set(self.full.contenders) and (
            bool(self.race.contenders) == bool(self.full.contenders)
        )


def next_runs(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> list[Trial]:
    """The trials to measure now, in this order; none when the race is over or its budget is spent.

    The winner gets all runs of the plan, so that its figures are as good as those of a full grid.
    """
    rules = rules or Rules()
    attempts = attempts_of(plan, results)
    now, needed = _race(plan, attempts, rules)
    if not needed and now.sure:
        needed = dict.fromkeys(now.contenders, plan.runs)
    visits = [(cell, run) for cell, runs in needed.items() for run in free_runs(attempts[cell], runs)]
    takes_s = [expected_s(plan, attempts[cell] or results, cell) for cell, _ in visits]
    ends_s = measuring_time_s(results) + np.cumsum(takes_s)
    return [
        Trial(cell, plan.load_of(cell), run, len(results) + index, plan.seed)
        for index, ((cell, run), end_s) in enumerate(zip(visits, ends_s, strict=True))
        if end_s <= rules.budget_s
    ]


def standing(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> Standing:
    """How the race stands after these results of it."""
    return _race(plan, attempts_of(plan, results), rules or Rules())[0]


def decision(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> Standing:
    """What all `results` say by the same test, looked at once: the decision of a full grid."""
    rules = rules or Rules()
    attempts = attempts_of(plan, results)
    everyone = Standing(tuple(attempts), {})
    found = _look(everyone, attempts, rules.goal, _level(plan, rules, looks=1))
    return leader_first(found, attempts, rules.goal)


def replay(plan: Plan, recorded: Sequence[TrialResult], rules: Rules | None = None) -> Replay:
    """Runs the race on the recorded results of a full grid, as if each were measured when it is asked for.

    By default a cell has as many runs as the plan gave it.
    """
    rules = rules or Rules(most_runs=plan.runs)
    by_trial = {(result.trial.cell, result.trial.run): result for result in best_attempts(recorded)}
    taken: list[TrialResult] = []
    while found := [
        by_trial[trial.cell, trial.run]
        for trial in next_runs(plan, taken, rules)
        if (trial.cell, trial.run) in by_trial
    ]:
        taken += found
    return Replay(
        race=standing(plan, taken, rules),
        full=decision(plan, recorded, rules),
        runs=len(taken),
        full_runs=len(recorded),
        measuring_s=measuring_time_s(taken),
        full_measuring_s=measuring_time_s(recorded),
    )


def _race(plan: Plan, attempts: Seen, rules: Rules) -> tuple[Standing, dict[Cell, int]]:
    """How the race stands, and the runs that cells need, in all, before it can go on; none at its end.

    Each round sees just the runs that were there when it was run, so that asking again changes nothing.
    """
    now = Standing(tuple(attempts), {})
    seen: dict[Cell, Sequence[TrialResult]] = dict.fromkeys(attempts, ())
    level = _level(plan, rules, looks=rules.most_runs)
    for number, runs in enumerate(_rounds(rules.most_runs)):
        entering = _upper_half(now.contenders, seen, rules.goal) if number == 1 else now.contenders
        missing = [cell for cell in entering if len(attempts[cell]) < runs]
        if missing:
            # There and back, so that drift falls on all alike and the server that runs is used first.
            turn = missing if runs % 2 else missing[::-1]
            return leader_first(now, attempts, rules.goal), dict.fromkeys(turn, runs)
        seen |= {cell: attempts[cell][:runs] for cell in entering}
        now = _look(now, seen, rules.goal, level)
        if now.sure:
            break
    return leader_first(now, attempts, rules.goal), {}


def _rounds(most_runs: int) -> list[int]:
    """How many runs each round brings its cells to.

    The better half gets its second run first: that tells the noise, and spares those far behind theirs.
    """
    return [1, *[2] * min(1, most_runs - 1), *range(2, most_runs + 1)]


def _upper_half(cells: Sequence[Cell], seen: Seen, goal: Goal) -> list[Cell]:
    ranked = sorted(cells, key=lambda cell: -mean_of(logs_of(goal, seen[cell])))
    upper = set(ranked[: ceil(len(ranked) / 2)])
    return [cell for cell in cells if cell in upper]


def _level(plan: Plan, rules: Rules, looks: int) -> float:
    """How often a single comparison may be wrong, so that all of them together lose the best cell in at most
    1 - confidence of races (Bonferroni); it may be lost at any look.
    """
    return (1 - rules.confidence) / (looks * comparisons(plan, rules.goal))


def _look(before: Standing, seen: Seen, goal: Goal, level: float) -> Standing:
    """Rules out those that by the runs seen can no longer be the best."""
    logs = {cell: logs_of(goal, runs) for cell, runs in seen.items()}
    out = {cell: why_hopeless(runs, goal) for cell, runs in seen.items() if is_hopeless(runs, goal)}
    keeping = {cell for cell in before.contenders if logs[cell].size}
    for bound in goal.bounds:
        kept, broken = _judged_by(bound, seen, level)
        keeping &= kept
        out |= dict.fromkeys(broken, f"surely breaks {bound}")
    if keeping:
        leader = max(keeping, key=lambda cell: mean_of(logs[cell]))
        out = dict.fromkeys(_beaten_by(leader, logs, level), f"slower than {leader}") | out
    left = tuple(cell for cell in before.contenders if cell not in out)
    out = {cell: out[cell] for cell in before.contenders if cell in out}
    return Standing(left, {**before.ruled_out, **out})


def _beaten_by(leader: Cell, logs: Mapping[Cell, Floats], level: float) -> list[Cell]:
    """The cells surely slower than `leader`. The slowest of a cell's runs does not count against it: what
    disturbs a run makes it slow."""
    of_one, beaten = margin_of_one(logs, level), []
    for cell, own in logs.items():
        if cell == leader or not own.size:
            continue
        undisturbed = np.sort(own)[1:] if own.size > 1 else own
        needed = of_one * sqrt(1 / logs[leader].size + 1 / own.size)
        if own.size == 1:
            needed = max(needed, log(LONE_RUN_FACTOR))
        if mean_of(logs[leader]) - mean_of(undisturbed) > needed:
            beaten.append(cell)
    return beaten


def _judged_by(bound: Bound, seen: Seen, level: float) -> tuple[set[Cell], set[Cell]]:
    """The cells that surely keep a bound, and those that surely break it; a lone run is not sure."""
    logs = {cell: logs_of(bound, runs) for cell, runs in seen.items()}
    of_one = margin_of_one(logs, level)
    above = {
        cell: (mean_of(own) - log(bound.limit)) * sqrt(own.size) for cell, own in logs.items() if own.size > 1
    }
    kept = {cell for cell, distance in above.items() if distance < -of_one}
    return kept, {cell for cell, distance in above.items() if distance > of_one}
