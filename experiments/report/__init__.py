"""A results folder as a page to read: report.html and report.md, with the figures as PNG beside them.

Everything here is a function of the files in results folders: a report can be made again at any time, on any
machine. What is measured, compared and advised lives in experiments/; `python -m mps.report` is the door.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.verdict.advice import Goal

PAGE, SUMMARY, FIGURES = "report.html", "report.md", "figures"


def write_report(folder: Path, *, goal: Goal | None = None, out: Path | None = None) -> Path:
    """Writes report.html, report.md and figures/*.png of a results folder, into it or into `out`.

    Returns the path of the page. `goal` is what the advice is for, by default throughput. Raises UsageError
    where `folder` holds no results or the goal can't be judged by them, ExperimentError where its files are
    damaged or the report can't be written. Results that are partial or all invalid have a report too.
    """
    # Here and not above: seaborn takes two seconds to import.
    from experiments.report.page import of_run, write
    from experiments.verdict.verdict import read

    return write(of_run(read(folder, goal)), out or folder)


def write_comparison(folders: Sequence[Path], out: Path, *, goal: Goal | None = None) -> Path:
    """Writes the report that lays several results folders side by side, into `out`; returns the page's path.

    Raises as `write_report` does.
    """
    from experiments.report.comparison import of_runs
    from experiments.report.page import write
    from experiments.verdict.verdict import read

    return write(of_runs([read(folder, goal) for folder in folders], out), out)
