"""Does our search of placements ever need more GPUs than others, or than it could be at best?

    python -m benchmarks.placements                   # published scenarios, and 500 made up at random
    python -m benchmarks.placements --random 50

Prints the published figures of the gpu-let prototype (or of who else made the scenario) beside every
strategy's under the same rules, says which of the original's plans our checker refuses, and lays ours
beside its lower bound. The original takes a model for placed from 85 % of its rate on, and its greedy
looks at neither bounds nor occupancy. Exits with 1 where our search needs more GPUs than a plan that passes
the checker, or than another strategy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from random import Random
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.parts import sharing
from benchmarks.parts.placing import twelve
from benchmarks.parts.placing.bound import Bound
from benchmarks.parts.placing.igniter import Igniter
from experiments.placement.checker import violations
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies import STRATEGIES, smallest

SEED = 12
MOST = 400
"""GPUs beyond which no strategy is asked."""
ORIGINAL = {
    ("time-sharing", False): "timesharing_only",
    ("greedy", False): "greedy_part",
    ("gpulet", False): "gpulet_noint",
    ("gpulet", True): "gpulet_int",
}
"""The prototype's names of strategies, by ours and whether neighbours are felt."""
ASKED = [*((name, False) for name in STRATEGIES), ("gpulet", True), ("search", True)]

console = Console(highlight=False, width=140)
app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(random: Annotated[int, typer.Option(min=1, help="Random scenarios.")] = 500) -> None:
    """See the module."""
    bound = Bound()
    for table in (
        _highest,
        lambda: _combinations((0, 100, 200)),
        lambda: _combinations((0, 200, 400)),
        lambda: _steps(bound, "traffic_2080ti", sharing.traffic_problem, range(50, 900, 50), (500, 800)),
        lambda: _steps(bound, "scen3_a100", sharing.scen3_problem, range(100, 2001, 100), (1000, 1500)),
        lambda: _others(bound),
        lambda: _twelve(bound),
    ):
        console.print(table())
    console.print(_random(bound, random))
    for of, ratios in bound.ratios.items():
        equal = sum(ratio == 1 for ratio in ratios)
        mean = sum(ratios) / len(ratios)
        console.print(f"{of}: search / lower bound {mean:.3f} on average, equal in {equal} of {len(ratios)}")
    for line in bound.above:
        console.print(f"above its bound: {line}")
    for line in bound.worse:
        console.print(f"worse: {line}")
    if bound.worse:
        raise typer.Exit(1)


def used(strategy: str, problem: Problem, most: int = MOST) -> int:
    """How many GPUs a strategy needs; more than `most` where that isn't enough."""
    try:
        return len(smallest(strategy, problem, most).gpus)
    except UnplaceableError:
        return most + 1


def _label(strategy: str, felt: bool) -> str:
    return f"{strategy}+int" if felt else strategy


def _figures(**wanted: str) -> Iterator[str]:
    for row in sharing.rows("prototype_runs.csv"):
        if all(row[column] == value for column, value in wanted.items()):
            yield row["value"]


def _figure(strategy: str, felt: bool, **wanted: str) -> str:
    scheduler = ORIGINAL.get((strategy, felt))
    return next(_figures(scheduler=scheduler, **wanted), "-") if scheduler else "-"


def _table(title: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE, title=title)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _highest() -> Table:
    cases = {"traffic_2080ti": sharing.TRAFFIC, "res+ssd+vgg_2080ti": sharing.THREE}
    headings = [f"{case}, {whose}" for case in cases for whose in ("original", "ours")]
    table = _table("highest rate of each model on 4 GPUs, requests/s in steps of 10", "strategy", *headings)
    for strategy, felt in ASKED:
        cells = []
        for case, bounds in cases.items():
            cells.append(_figure(strategy, felt, case=case, quantity="max_rate_4_gpus_step10"))
            cells.append(str(_highest_rate(strategy, felt, bounds)))
        table.add_row(_label(strategy, felt), *cells)
    return table


def _highest_rate(strategy: str, felt: bool, bounds: Mapping[str, float]) -> int:
    for rate in range(1000, 0, -10):
        problem = sharing.prototype_problem(bounds, dict.fromkeys(bounds, rate), felt)
        if used(strategy, problem, 4) <= 4:
            return rate
    return 0


def _combinations(each: tuple[int, int, int]) -> Table:
    rates_told = "/".join(map(str, each))
    case = f"grid4_2080ti rates {rates_told}"
    headings = [f"{gpus} GPUs, {whose}" for gpus in (2, 4) for whose in ("original", "ours")]
    table = _table(f"of 80 combinations of {rates_told} requests/s to four models", "strategy", *headings)
    demands = [
        dict(zip(sharing.FOUR, rates, strict=True))
        for rates in product(each, repeat=len(sharing.FOUR))
        if any(rates)
    ]
    for strategy, felt in ASKED:
        cells = []
        needed = [
            used(strategy, sharing.prototype_problem(sharing.FOUR, rates, felt), 4) for rates in demands
        ]
        for gpus in (2, 4):
            cells.append(_figure(strategy, felt, case=case, quantity=f"schedulable_of_80_on_{gpus}_gpus"))
            cells.append(str(sum(count <= gpus for count in needed)))
        table.add_row(_label(strategy, felt), *cells)
    return table


def _steps(
    bound: Bound, case: str, problem_at: Callable[[int, bool], Problem], rates: range, told: tuple[int, int]
) -> Table:
    """The same rate for each model, in steps, with the original's plans under our checker."""
    headings = ["its plans refused", "first reason", "of those that pass: ours fewer", "equal", "more"]
    table = _table(
        f"{case}, {rates[0]} to {rates[-1]} requests/s: GPUs, original / ours",
        "strategy",
        *(f"at {rate}" for rate in told),
        *headings,
    )
    for strategy, felt in ASKED:
        at: dict[int, str] = {}
        refused: list[str] = []
        plans, outcome = 0, Counter[str]()
        for rate in rates:
            problem, name = problem_at(rate, felt), f"{case} at {rate}, {_label(strategy, felt)}"
            ours = (
                bound.search(problem, "published", name) if strategy == "search" else used(strategy, problem)
            )
            theirs = _figure(strategy, felt, case=case, rate=str(rate), quantity="smallest_n_gpus")
            at[rate] = f"{theirs} / {ours}"
            lines = sharing.schedule(case, ORIGINAL.get((strategy, felt), ""), rate)
            if not lines:
                continue
            plans += 1
            if wrong := sharing.broken(problem, lines):
                refused += wrong[:1]
                continue
            their_gpus = int(lines[0]["n_gpus"])
            outcome["fewer" if ours < their_gpus else "more" if ours > their_gpus else "equal"] += 1
            if (searched := used("search", problem)) > their_gpus:
                bound.worse.append(f"{name}: {searched} GPUs by the search, original {their_gpus}")
        table.add_row(
            _label(strategy, felt),
            *(at[rate] for rate in told),
            f"{len(refused)} of {plans}" if plans else "-",
            refused[0] if refused else "-",
            *(str(outcome[word]) if plans else "-" for word in ("fewer", "equal", "more")),
        )
    return table


def _others(bound: Bound) -> Table:
    table = _table("scenarios of others: GPUs", "scenario", "original", *STRATEGIES, "original's plan")
    nexus = sharing.nexus_problem()
    cells = [str(used(strategy, nexus)) for strategy in STRATEGIES]
    bound.search(nexus, "published", "Nexus")
    table.add_row("Nexus, worked example", "2", *cells, "-")
    for scenario, theirs in zip(("S1", "S2", "S3", "S4", "S5", "S6"), (2, 3, 5, 7, 13, 16), strict=True):
        problem = sharing.parvagpu_problem(scenario)
        ours = bound.search(problem, "published", f"ParvaGPU {scenario}")
        wrong = violations(sharing.parvagpu_plan(problem, scenario), problem)
        if ours > theirs and not wrong:
            bound.worse.append(f"ParvaGPU {scenario}: {ours} GPUs, original {theirs}")
        cells = ["-"] * (len(STRATEGIES) - 1)
        table.add_row(f"ParvaGPU {scenario}", str(theirs), *cells, str(ours), wrong[0] if wrong else "passes")
    return table


def _twelve(bound: Bound) -> Table:
    igniter = Igniter()
    problem, found = twelve.placed(igniter)
    if len(found.placement.gpus) > twelve.ORIGINAL:
        bound.worse.append(
            f"iGniter's twelve workloads: {len(found.placement.gpus)} GPUs, original {twelve.ORIGINAL}"
        )
    return twelve.table(problem, igniter, found)


def _random(bound: Bound, count: int) -> Table:
    """Random scenarios, seeded. A strategy with fewer GPUs than the search is told as worse."""
    random = Random(SEED)
    gpus, fewer = Counter[str](), Counter[str]()
    for number in range(count):
        problem = sharing.random_problem(random)
        ours = bound.search(problem, "random", f"random scenario {number}")
        for strategy in STRATEGIES:
            theirs = ours if strategy == "search" else used(strategy, problem)
            gpus[strategy] += theirs
            if theirs < ours:
                fewer[strategy] += 1
                bound.worse.append(f"random scenario {number}: search {ours} GPUs, {strategy} {theirs}")
    table = _table(
        f"{count} random scenarios", "strategy", "GPUs in all", "times the search's", "fewer than it"
    )
    for strategy in STRATEGIES:
        times = gpus[strategy] / gpus["search"]
        table.add_row(strategy, str(gpus[strategy]), f"{times:.3f}", str(fewer[strategy]))
    return table


if __name__ == "__main__":
    app()
