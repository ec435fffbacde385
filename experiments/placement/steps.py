"""The steps of a placement, each a value handed on: wanted -> problem -> placed -> predicted."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.card import Card, Shares, Slices
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.grown import grown
from experiments.placement.latencies import LatencyTable
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, Rules
from experiments.placement.simulation import Outcome, Phase, outcomes, poisson, simulate
from experiments.placement.strategies import STRATEGIES, smallest
from experiments.placement.strategies.bound import fluid_bound
from experiments.placement.strategies.search import Found, fewest

SEARCH = "search"
PREDICTED_S, WARM_UP_S = 600.0, 10.0
MOST_REQUESTS = 2_000_000


def problem_of(
    workloads: Sequence[Workload], table: LatencyTable, rules: Rules, parts_per_gpu: int
) -> Problem:
    """The demand on the shares that the profile has of all its models, at most `parts_per_gpu` on a GPU; or
    on MIG instances, where its sizes are of 1, 2, 3, 4 and 7 slices.

    Raises UsageError where there is no such share, or a model is unknown.
    """
    asked = sorted({workload.model for workload in workloads} & set(table.models()))
    known = [set(table.sizes(model)) for model in asked]
    sizes = tuple(sorted(set.intersection(*known))) if known else ()
    if known and not sizes:
        raise UsageError(f"the profile has no share that {', '.join(asked)} were all measured on: measure it")
    if sizes and set(sizes) <= set(Slices().sizes):  # a profile of MIG instances
        card: Card = Slices(sizes)
    else:
        card = Shares(sizes, parts_per_gpu) if sizes else rules.card
    return Problem(tuple(workloads), table, replace(rules, card=card))


def place(problem: Problem, gpus: int, strategy: str = SEARCH) -> Found:
    """The placement of a strategy on as few GPUs as it can, `gpus` at most; checked.

    Raises UsageError for an unknown strategy, UnplaceableError where there is none.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {strategy!r}: use {', '.join(STRATEGIES)}")
    if gpus < 1:
        raise UsageError(f"{gpus} GPUs serve nothing: use 1 or more")
    if strategy == SEARCH:
        found = fewest(problem, gpus)
        placed = Found(grown(problem, found.placement), found.at_least)
    else:
        placed = Found(smallest(strategy, problem, gpus), fluid_bound(problem))
    if broken := violations(placed.placement, problem, gpus):
        raise ExperimentError(f"{strategy} broke a rule, which is a fault of this program: {broken[0]}")
    return placed


def predict(
    problem: Problem, placement: Placement, seed: int = 0, seconds: float | None = None
) -> list[Outcome]:
    """So many seconds of Poisson arrivals, simulated; by default ten minutes, or as long as MOST_REQUESTS
    last."""
    if seconds is None:
        asked_rps = sum(workload.rate_rps for workload in problem.workloads)
        seconds = min(PREDICTED_S, WARM_UP_S + MOST_REQUESTS / asked_rps)
    arrivals = [
        poisson(workload.rate_rps, seconds, seed + number)
        for number, workload in enumerate(problem.workloads)
    ]
    return outcomes(problem.workloads, simulate(problem, [Phase(0.0, placement)], arrivals), WARM_UP_S)
