"""`python -m mps.together`: several models at once under one server, and the same under others.

A door: it reads the options, has the plan carried out, prints and writes its tables. What a plan is:
experiments/together.
"""

from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.together import Folder, carry_out, goodput_table, read, table
from experiments.together.campaign import searches_of
from experiments.together.folder import GOODPUT, SUMMARY
from experiments.together.reading import replaced
from experiments.together.search import LOOKS
from experiments.together.shown import goodput, problems, summary, warnings
from mps.door import one_line_errors, option, to_stdout

HELP = """Serve several models at once, each at a rate of its own, under each server of a plan in turn.

The plan is YAML: servers, and models with an archive, workers, a batch size, a rate and a bound such as
p99=500ms (docs/several-models.md). Answers are compared with those of the handlers before any figure is taken
and in every run. On the CPU; `python -m mps.servers add NAME` makes what servers beside TorchServe need.

Examples:

  python -m mps.together plans/together/two_models.yaml

  python -m mps.together plans/together/two_models.yaml --goodput   # the highest rates that keep every bound

  python -m mps.together plans/together/two_models.yaml --server torchserve --server litserve --out two

The same command goes on where it was stopped. Exit codes: 0 measured; 1 something failed, or a run is no
result; 2 wrong usage; 130 interrupted.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    plan: Annotated[Path, typer.Argument(help="The plan, a YAML file.", show_default=False)],
    server: Annotated[list[str] | None, option("--server", help="In place of the plan's servers.")] = None,
    goodput_too: Annotated[
        bool,
        typer.Option("--goodput", help="Search for the highest factor of all rates that keeps all bounds."),
    ] = False,
    looks: Annotated[int, typer.Option(min=1, help="The most looks of that search, of each server.")] = LOOKS,
    runs: Annotated[int | None, option("--runs", help="In place of the plan's; 0 with --goodput.")] = None,
    seconds: Annotated[float | None, option("--seconds", help="Of each run, in place of the plan's.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of results.")] = Path("results/together"),
) -> None:
    """See HELP."""
    console = to_stdout()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    with one_line_errors(lambda: f"{out} has what was measured; the same command goes on"):
        asked = replaced(read(plan), server, runs, seconds)
        if asked.runs == 0 and not goodput_too:
            raise UsageError("0 runs measure nothing: give --goodput, or more runs")
        folder = Folder(out)
        taken = carry_out(asked, folder, tell, goodput=goodput_too, looks=looks)
        frame = summary(asked, taken)
        folder.write(SUMMARY, frame)
        if not frame.empty:
            console.print(table(frame))
        if goodput_too:
            found = goodput(asked, searches_of(asked, taken, looks))
            folder.write(GOODPUT, found)
            console.print(goodput_table(asked, found))
            for line in warnings(taken):
                tell(f"warning: {line}")
        tell(f"written: {out}")
        if why := problems(taken):
            raise ExperimentError(f"no result: {why[0]}" + (f", and {len(why) - 1} more" if why[1:] else ""))


if __name__ == "__main__":
    app()
