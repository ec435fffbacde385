"""`--predict` of `python -m mps.run`: which ceilings it takes, and what is told of the predicted grid."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.shown import command
from experiments.ceilings.effort import Effort, for_prediction
from experiments.measure.measure import BESIDE_A_SWEEP
from experiments.plan import Plan, goal_from
from experiments.predict import predictor
from experiments.predict.best import best, check_goal
from experiments.predict.files import CSV, write_prediction
from experiments.predict.shown import best_told, grid_table
from experiments.results import Results


def effort_of(given: Mapping[str, Any], plan: Plan, ceilings: bool | None) -> Effort | None:
    """How the ceilings are measured, None without any. Raises UsageError for options that --predict does not
    go with, and for a goal that it tells nothing of."""
    if not given["predict"]:
        beside = for_prediction(plan) if plan.search else BESIDE_A_SWEEP
        return beside if ceilings is None else Effort() if ceilings else None
    if given["ceilings"] is not None:
        raise UsageError("--predict measures the ceilings that it needs: drop --ceilings and --no-ceilings")
    if given["ray"] is not None:
        raise UsageError("--predict is for this machine: drop --ray")
    check_goal(goal_from(plan.goal))
    return for_prediction(plan)


def tell_prediction(console: Console, results: Results) -> None:
    """Prints the grid, the best cell by the plan's goal and what they are from; writes both files of it.

    Raises ExperimentError where the ceilings tell nothing, or no cell meets the goal.
    """
    plan, folder = results.plan, results.folder
    if results.ceilings is None:
        raise ExperimentError(
            f"nothing can be predicted: {folder} has no ceilings, and this archive's model can't be run alone"
        )
    predict = predictor(results.ceilings, plan)
    grid = {cell: predict(cell) for cell in plan.cells()}
    source = "the bare model, the handler and the empty handler of ceilings.json; no cell was served"
    write_prediction(folder, grid, goal=plan.goal, source=source)
    console.print(grid_table(plan, grid))
    for problem in results.ceilings.problems:
        console.print(f"not measured: {problem}", style="yellow", markup=False, highlight=False)
    for line in best_told(best(grid, goal_from(plan.goal)), plan.goal):
        console.print(line, style="bold", markup=False, highlight=False)
    console.print(f"From {source}. The table: {folder / CSV}", markup=False, highlight=False)
    measured = command("python", "-m", "mps.run", "--resume", folder)
    console.print(f"To measure it: {measured}", markup=False, highlight=False)
