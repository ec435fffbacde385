"""`python -m benchmarks.search DIR...`: what a search costs and finds, replayed on recorded grids.

DIR are results folders of whole grids. Every strategy sees their runs in an order of its own for each seed,
and pays what they took, with the starts of servers and the loading of models. The time of a prediction's
ceilings is not counted. A choice is right when its regret is at most noise: it is no more behind the best
median of the whole grid (of the cells whose medians keep the bounds) than a cell is behind its twin, or than
3 % where that is more. The last line is one JSON object.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.search.judged import Judged, Truth, goals_for, judged
from benchmarks.search.strategies import AtRandom, Bayesian, Race, Search, Strategy
from benchmarks.search.world import Recorded, recorded_in
from experiments.base.errors import ExperimentError
from experiments.plan import Goal, goal_from
from experiments.predict import predictor
from mps.door import to_stdout


def strategies_for(recorded: Recorded, goal: Goal) -> Iterator[tuple[str, Callable[[], Strategy]]]:
    """What is compared, by name; each is made anew for each seed."""
    for kind in (AtRandom, Bayesian, Race):
        yield kind.name, partial(kind, goal)
    yield "--search", partial(Search, goal)
    if recorded.ceilings:
        name = "--search, predicted"
        yield name, partial(Search, goal, predictor(recorded.ceilings, recorded.plan), name)


def main(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of whole grids.", show_default=False)
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Replays of each strategy.")] = 50,
    goal: Annotated[list[str] | None, typer.Option(help="May be repeated. [three]")] = None,
    only: Annotated[str, typer.Option(help="Strategies whose names hold this.")] = "",
) -> None:
    """What strategies find on recorded grids, and in how much of their time."""
    console = to_stdout()
    try:
        found = {
            recorded.name: {
                str(each): _told(console, recorded, each, seeds, only)
                for each in (map(goal_from, goal) if goal else goals_for(recorded))
            }
            for recorded in map(recorded_in, folders)
        }
    except ExperimentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(json.dumps(found))


def _told(
    console: Console, recorded: Recorded, goal: Goal, seeds: int, only: str
) -> dict[str, dict[str, float]]:
    """Replays all strategies on a grid, for a goal, and prints their table."""
    truth = Truth(recorded, goal)
    found = {
        name: judged(truth, strategy, seeds)
        for name, strategy in strategies_for(recorded, goal)
        if only in name
    }
    console.print(_table(truth, found))
    return {
        name: {key: round(value, 4) for key, value in asdict(each).items()} for name, each in found.items()
    }


def _table(truth: Truth, found: dict[str, Judged]) -> Table:
    recorded = truth.recorded
    title = (
        f"{recorded.name}, {truth.goal}: {len(recorded.runs)} cells in {recorded.grid_s:.0f} s, "
        f"{len(truth.right)} of them right (within {truth.noise:.1%} of the best; the grid could tell "
        f"{truth.could_tell:.1%})"
    )
    table = Table(title=title, title_justify="left")
    columns = "right", "or not told", "time", "time, 90 %", "regret", "regret, 90 %", "runs", "cells"
    for heading in ("strategy", *columns):
        table.add_column(heading, justify="left" if heading == "strategy" else "right")
    for name, each in found.items():
        table.add_row(
            name,
            f"{each.right_share:.0%}",
            f"{each.untold_share:.0%}",
            f"{each.time_share_median:.1%}",
            f"{each.time_share_p90:.1%}",
            f"{each.regret_median:.1%}",
            f"{each.regret_p90:.1%}",
            f"{each.runs_median:g}",
            f"{each.cells_median:g}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
