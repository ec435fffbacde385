"""--until-sure: which cells still need a run, and which can no longer be the best.

A race in rounds: every cell in it gets another run, then those that the leader has surely beaten leave. Pure
functions of a plan and its results so far, to be asked after every trial, of a resumed run too.

Two runs of a cell are too few for any rank test to show something. So here, and only here, noise is taken to
be about equal in all cells, in percent: the spread of their runs, pooled, tells how far apart is far enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from math import ceil, inf, log, sqrt

import numpy as np
from scipy.special import stdtrit  # scipy.stats has it too, but takes a second to import

from experiments.base.arrays import Floats
from experiments.plan import Bound, Cell, Goal, Plan, Trial, goal_from
from experiments.plan.defaults import CONFIDENCE
from experiments.results.counting import best_attempts
from experiments.results.figures import known
from experiments.results.trial_result import TrialResult

MOST_RUNS = 10  # of a cell, where it takes many to be sure
# A lone run may have been disturbed. It rules its cell out only when the leader is faster by this factor,
# which is more than a disturbance costs that no check of the trial notices.
LONE_RUN_FACTOR = 1.5

Seen = Mapping[Cell, Sequence[TrialResult]]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a race is run. With `confidence` the truly best cell is not ruled out.

    A cell gets at most `most_runs`; a run that would end after `budget_s` of measuring is not begun.
    """

    goal: Goal = field(default_factory=Goal)
    confidence: float = CONFIDENCE
    most_runs: int = MOST_RUNS
    budget_s: float = inf


@dataclass(frozen=True, slots=True)
class Standing:
    """Who can still be the best, the leader first; and of each other cell, why it cannot."""

    contenders: tuple[Cell, ...]
    ruled_out: Mapping[Cell, str]

    @property
    def sure(self) -> bool:
        """Whether a single cell is left, or none that meets the goal."""
        return len(self.contenders) <= 1


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


def rules_of(plan: Plan) -> Rules:
    """The rules of a plan's race; those of its budget are kept by the campaign, where the clock is."""
    return Rules(goal_from(plan.goal), most_runs=max(MOST_RUNS, plan.runs))


def next_runs(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> list[Trial]:
    """The trials to measure now, in this order; none when the race is over or its budget is spent.

    The winner gets all runs of the plan, so that its figures are as good as those of a full grid.
    """
    rules = rules or Rules()
    attempts = _attempts(plan, results)
    now, needed = _race(plan, attempts, rules)
    if not needed and now.sure:
        needed = dict.fromkeys(now.contenders, plan.runs)
    visits = [(cell, run) for cell, runs in needed.items() for run in _free(attempts[cell], runs)]
    expected_s = [_expected_s(plan, attempts[cell] or results, cell) for cell, _ in visits]
    ends_s = measuring_time_s(results) + np.cumsum(expected_s)
    return [
        Trial(cell, plan.load_of(cell), run, len(results) + index, plan.seed)
        for index, ((cell, run), end_s) in enumerate(zip(visits, ends_s, strict=True))
        if end_s <= rules.budget_s
    ]


def _free(attempts: Sequence[TrialResult], runs: int) -> list[int]:
    """The numbers of the runs that make it so many in all; what was removed from the file comes anew."""
    taken = {result.trial.run for result in attempts}
    return list(islice((run for run in count(1) if run not in taken), max(0, runs - len(attempts))))


def standing(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> Standing:
    """How the race stands after these results of it."""
    return _race(plan, _attempts(plan, results), rules or Rules())[0]


def decision(plan: Plan, results: Sequence[TrialResult], rules: Rules | None = None) -> Standing:
    """What all `results` say by the same test, looked at once: the decision of a full grid."""
    rules = rules or Rules()
    attempts = _attempts(plan, results)
    everyone = Standing(tuple(attempts), {})
    return _leader_first(_look(everyone, attempts, rules.goal, _level(plan, rules, looks=1)), attempts, rules)


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


def measuring_time_s(results: Iterable[TrialResult]) -> float:
    """What these results took: warm-ups and measured windows, not the starts of servers and models."""
    return sum(result.trial.load.warm_up_s + result.window_s for result in results)


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
            return _leader_first(now, attempts, rules), dict.fromkeys(turn, runs)
        seen |= {cell: attempts[cell][:runs] for cell in entering}
        now = _look(now, seen, rules.goal, level)
        if now.sure:
            break
    return _leader_first(now, attempts, rules), {}


def _rounds(most_runs: int) -> list[int]:
    """How many runs each round brings its cells to.

    The better half gets its second run first: that tells the noise, and spares those far behind theirs.
    """
    return [1, *[2] * min(1, most_runs - 1), *range(2, most_runs + 1)]


def _upper_half(cells: Sequence[Cell], seen: Seen, goal: Goal) -> list[Cell]:
    ranked = sorted(cells, key=lambda cell: -_mean(_logs(goal, seen[cell])))
    upper = set(ranked[: ceil(len(ranked) / 2)])
    return [cell for cell in cells if cell in upper]


def _level(plan: Plan, rules: Rules, looks: int) -> float:
    """How often a single comparison may be wrong, so that all of them together lose the best cell in at most
    1 - confidence of races (Bonferroni).

    It is lost when another is taken for better, or for keeping a bound, or itself for breaking one, at any
    look.
    """
    others, bounds = max(1, len(plan.cells()) - 1), len(rules.goal.bounds)
    return (1 - rules.confidence) / (looks * (others + bounds * (others + 1)))


def _look(before: Standing, seen: Seen, goal: Goal, level: float) -> Standing:
    """Rules out those that by the runs seen can no longer be the best."""
    logs = {cell: _logs(goal, runs) for cell, runs in seen.items()}
    out = {
        cell: f"no {goal.figure} in {len(seen[cell])} runs" for cell in seen if _is_hopeless(seen[cell], goal)
    }
    keeping = {cell for cell in before.contenders if logs[cell].size}
    for bound in goal.bounds:
        kept, broken = _judged_by(bound, seen, level)
        keeping &= kept
        out |= dict.fromkeys(broken, f"surely breaks {bound}")
    if keeping:
        leader = max(keeping, key=lambda cell: _mean(logs[cell]))
        out = dict.fromkeys(_beaten_by(leader, logs, level), f"slower than {leader}") | out
    left = tuple(cell for cell in before.contenders if cell not in out)
    out = {cell: out[cell] for cell in before.contenders if cell in out}
    return Standing(left, {**before.ruled_out, **out})


def _beaten_by(leader: Cell, logs: Mapping[Cell, Floats], level: float) -> list[Cell]:
    """The cells surely slower than `leader`. The slowest of a cell's runs does not count against it: what
    disturbs a run makes it slow."""
    margin_of_one, beaten = _margin_of_one(logs, level), []
    for cell, own in logs.items():
        if cell == leader or not own.size:
            continue
        undisturbed = np.sort(own)[1:] if own.size > 1 else own
        needed = margin_of_one * sqrt(1 / logs[leader].size + 1 / own.size)
        if own.size == 1:
            needed = max(needed, log(LONE_RUN_FACTOR))
        if _mean(logs[leader]) - _mean(undisturbed) > needed:
            beaten.append(cell)
    return beaten


def _judged_by(bound: Bound, seen: Seen, level: float) -> tuple[set[Cell], set[Cell]]:
    """The cells that surely keep a bound, and those that surely break it; a lone run is not sure."""
    logs = {cell: _logs(bound, runs) for cell, runs in seen.items()}
    margin_of_one = _margin_of_one(logs, level)
    above = {
        cell: (_mean(own) - log(bound.limit)) * sqrt(own.size) for cell, own in logs.items() if own.size > 1
    }
    kept = {cell for cell, distance in above.items() if distance < -margin_of_one}
    return kept, {cell for cell, distance in above.items() if distance > margin_of_one}


def _margin_of_one(logs: Mapping[Cell, Floats], level: float) -> float:
    """How far from the truth a single run is in at most `level` of all cases, on log scale, to one side.

    Student's t for the spread within cells, pooled over all of them; infinite while no cell has two runs.
    """
    repeated = [own for own in logs.values() if own.size > 1]
    freedom = sum(own.size - 1 for own in repeated)
    if not freedom:
        return inf
    spread = sqrt(sum(float(np.sum((own - own.mean()) ** 2)) for own in repeated) / freedom)
    return -float(stdtrit(freedom, level)) * spread


def _leader_first(now: Standing, attempts: Seen, rules: Rules) -> Standing:
    """The leader is the one whose figures the advice would find the best."""

    def rank(cell: Cell) -> tuple[bool, float]:
        keeps = all(_median_log(bound, attempts[cell], inf) < log(bound.limit) for bound in rules.goal.bounds)
        return not keeps, -_median_log(rules.goal, attempts[cell], -inf)

    return Standing(tuple(sorted(now.contenders, key=rank)), now.ruled_out)


def _attempts(plan: Plan, results: Sequence[TrialResult]) -> dict[Cell, list[TrialResult]]:
    """The results of each cell in the order of measuring; cells in the plan's order, that of servers.

    The twin does not race: the noise is known from the spread of all cells. Of a run that was measured more
    than once it is the attempt that tells most.
    """
    attempts: dict[Cell, list[TrialResult]] = {
        trial.cell: [] for trial in plan.trials() if not trial.cell.twin
    }
    for result in best_attempts(results):
        if result.trial.cell in attempts:
            attempts[result.trial.cell].append(result)
    return attempts


def _is_hopeless(runs: Sequence[TrialResult], goal: Goal) -> bool:
    return len(runs) > 1 and not _logs(goal, runs).size


def _logs(asked: Goal | Bound, runs: Sequence[TrialResult]) -> Floats:
    """The figures of the valid runs, where they were measured, on log scale."""
    return np.log([value for value in known(asked, (run for run in runs if run.valid)) if value])


def _mean(values: Floats) -> float:
    """-inf for a cell that has no figure yet: it leads nobody."""
    return float(values.mean()) if values.size else -inf


def _median_log(asked: Goal | Bound, runs: Sequence[TrialResult], unmeasured: float) -> float:
    logs = _logs(asked, runs)
    return float(np.median(logs)) if logs.size else unmeasured


def _expected_s(plan: Plan, earlier: Sequence[TrialResult], cell: Cell) -> float:
    """What a run of `cell` will take: as long as planned, or where requests are counted, as the last one."""
    load = plan.load_of(cell)
    if load.duration_s is not None:
        return load.warm_up_s + load.duration_s
    return measuring_time_s(earlier[-1:])
