"""A verdict shown: as a page, report.html and report.md with figures, and on a terminal. The third step.

Everything here is a function of the files in results folders: a report can be made again at any time, on any
machine. What is compared and advised lives in verdict/. placement/ is the page of a placement, which looks
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.results import read, write_summary

if TYPE_CHECKING:
    from experiments.plan import Goal
    from experiments.verdict import Verdict

PAGE, SUMMARY, FIGURES, ADVICE = "report.html", "report.md", "figures", "advice"

__all__ = ["show", "write_comparison", "write_report"]


def show(verdict: Verdict) -> Path:
    """Puts what a verdict says into its results folder: summary.csv, the page, and the files to deploy.

    Returns the path of the page. Raises ExperimentError where they can't be written.
    """
    from experiments.report.page import of_run, write
    from experiments.verdict.deploy import write_files

    folder = verdict.folder
    write_summary(folder, verdict.summary)
    if verdict.advice is not None:
        write_files(verdict.advice, folder / ADVICE, verdict.environment.get("variables"))
    return write(of_run(verdict), folder)


def write_report(folder: Path, *, goal: Goal | None = None, out: Path | None = None) -> Path:
    """Writes report.html, report.md and figures/*.png of a results folder, into it or into `out`.

    Returns the path of the page. `goal` is what the advice is for, by default throughput. Raises UsageError
    where `folder` holds no results or the goal can't be judged by them, ExperimentError where its files are
    damaged or the report can't be written. Results that are partial or all invalid have a report too.
    """
    # Here and not above: seaborn takes two seconds to import.
    from experiments.report.page import of_run, write

    return write(of_run(_judged(folder, goal)), out or folder)


def write_comparison(folders: Sequence[Path], out: Path, *, goal: Goal | None = None) -> Path:
    """Writes the report that lays several results folders side by side, into `out`; returns the page's path.

    Raises as `write_report` does.
    """
    from experiments.report.comparison import of_runs
    from experiments.report.page import write

    return write(of_runs([_judged(folder, goal) for folder in folders], out), out)


def _judged(folder: Path, goal: Goal | None) -> Verdict:
    from experiments.plan import Goal
    from experiments.verdict import judge

    return judge(read(folder), goal or Goal())
