"""Do rates that change need fewer GPUs and moves when each placement follows the one before?

    python -m benchmarks.changing_rates
    python -m benchmarks.changing_rates --periods 40    # the first 40 of 160

Replays the rates of the gpu-let paper's scaling run (Figure 14: three models, 3200 s in periods of 20 s, RTX
2080 Ti) by the prototype's rules without interference, which plan for more than the rates. There is no
latency profile of its MobileNet on that card: SSD-MobileNetV1 takes the place and the rates, so GPUs are not
to be compared with the paper's. Parts take 12 s to make. The old ones serve meanwhile, as the paper tells of
its own: played once where the cards' memory holds both, and once always; each with parts made as rates
change, and ahead of it.
Exits with 1 where following needs more GPUs than placing anew in any period, or more moves in all.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.parts import sharing
from experiments.placement.demand import Workload
from experiments.placement.periods import Course, Crossed, Making, Period, courses, cross
from experiments.placement.problem import Problem

MODELS = {"mobilenet_v2": "ssd-mobilenetv1", "vgg16": "vgg16", "resnet50": "resnet50"}
"""The paper's models, and whose latencies are taken."""
PERIOD_S = 20.0
GPUS = 8

console = Console(highlight=False, width=120)
app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(
    periods: Annotated[int | None, typer.Option(min=2, help="The first so many. [all]")] = None,
) -> None:
    """See the module."""
    asked = trace()[:periods]
    demand = Problem(
        tuple(Workload(model, model, 1.0, sharing.THREE[model]) for model in MODELS.values()),
        sharing.rtx2080ti(),
        sharing.prototype_rules(interference=False),
    )
    planned = [replace(period, rates_rps=tuple(map(sharing.raised, period.rates_rps))) for period in asked]
    begun_s = perf_counter()
    ways = courses(demand, planned, GPUS)
    console.print(f"placed in {perf_counter() - begun_s:.0f} s")
    roomy = replace(demand, rules=replace(demand.rules, memory=None))
    for where, whose in (("where memory holds both", demand), ("always", roomy)):
        for ahead in (False, True):
            made = "ahead" if ahead else "as rates change"
            title = f"parts made {made}, the old serve meanwhile {where}"
            console.print(_table(title, cross(whose, asked, ways, Making(ahead=ahead))))
    if worse := _worse(*ways[:2]):
        console.print(f"worse: {worse}")
        raise typer.Exit(1)


def trace() -> list[Period]:
    """The rates of Figure 14; its times are the ends of periods."""
    return [
        Period(
            float(row["t_s"]) - PERIOD_S,
            float(row["t_s"]),
            tuple(float(row[f"{model}_rps"]) for model in MODELS),
        )
        for row in sharing.rows("paper_fig14_scaling.csv")
    ]


def _table(title: str, crossed: list[Crossed]) -> Table:
    table = Table(box=box.SIMPLE, title=title)
    table.add_column("placement")
    p99 = f"p99 ms of {', '.join(outcome.workload for outcome in crossed[0].outcomes)}"
    for heading in ("GPU-hours", "at most", "moves", "changed", p99, "within the bound"):
        table.add_column(heading, justify="right")
    for each in crossed:
        table.add_row(
            each.course.name,
            f"{each.gpu_s / 3600:.2f}",
            str(max(each.course.gpus)),
            str(each.moves),
            str(each.changed),
            ", ".join(f"{outcome.p99_ms:.0f}" for outcome in each.outcomes),
            f"{each.attainment:.2%}",
        )
    return table


def _worse(followed: Course, anew: Course) -> str | None:
    for number, (ours, theirs) in enumerate(zip(followed.gpus, anew.gpus, strict=True)):
        if ours > theirs:
            return f"{ours} GPUs in period {number}, {theirs} by placing anew"
    moves = [sum(step.moves for step in course.steps) for course in (followed, anew)]
    return f"{moves[0]} moves, {moves[1]} by placing anew" if moves[0] > moves[1] else None


if __name__ == "__main__":
    app()
