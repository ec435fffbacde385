"""`python -m mps.report`: the report of a results folder, made anew from its files; of several, side by side.

A door: it parses, calls experiments/report, and prints where the page is.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from experiments.plan import goal_from
from experiments.report import SUMMARY, write_comparison, write_report
from mps.door import one_line_errors, option, to_stdout

HELP = """Write report.html, report.md and the figures of results folders, from the files in them.

One folder: its report, into it. Several: the report of each, and one that lays them side by side, into
--out. Nothing is measured, so this works on any machine and as often as you like.

Examples:

  python -m mps.report results/20261121-101500-bert

  python -m mps.report results/h200 results/a100 --out results/h200-and-a100

  python -m mps.report results/h200 --goal 'throughput with p99<100ms'

Exit codes: 0 the report is written; 1 something failed; 2 wrong usage.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.")],
    out: Annotated[
        Path | None,
        option(help="Folder for the report. [of one: its own; of several: comparison, beside the first]"),
    ] = None,
    goal: Annotated[
        str | None, option(help="What to advise for, e.g. 'throughput with p99<100ms'. [throughput]")
    ] = None,
) -> None:
    """See HELP."""
    with one_line_errors():
        asked = goal_from(goal) if goal else None
        if len(folders) == 1:
            page = write_report(folders[0], goal=asked, out=out)
        else:
            page = write_comparison(folders, out or _beside(folders[0]), goal=asked)
            for folder in folders:
                write_report(folder, goal=asked)
    to_stdout().print(f"{page}\n{page.with_name(SUMMARY)}", markup=False)


def _beside(folder: Path) -> Path:
    return Path(os.path.normpath(folder)).parent / "comparison"


if __name__ == "__main__":
    app()
