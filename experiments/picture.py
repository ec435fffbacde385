"""A picture of a sweep: throughput by batch size and workers, every run a dot, the median a line."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.plan import Cell, Plan
from experiments.results import TrialResult


def draw_throughput(plan: Plan, results: Sequence[TrialResult], path: Path, note: str = "") -> None:
    """Writes a PNG of the valid results, `note` below them; none where there is no valid result."""
    runs = pd.DataFrame(
        [
            {
                "batch size": result.trial.cell.batch_size,
                "workers": _label(result.trial.cell),
                "throughput in requests/s": result.throughput_rps,
            }
            for result in results
            if result.valid
        ]
    )
    if runs.empty:
        return
    runs = runs.sort_values(["batch size", "workers"])
    import matplotlib as mpl

    mpl.use("Agg")  # no screen is needed
    import seaborn as sns
    from matplotlib import pyplot as plt

    sns.set_theme(style="whitegrid", palette="colorblind")
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    columns = {"x": "batch size", "y": "throughput in requests/s", "hue": "workers", "palette": "colorblind"}
    sns.lineplot(runs, **columns, estimator="median", errorbar=None, ax=axes)
    sns.scatterplot(runs, **columns, alpha=0.6, legend=False, ax=axes)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(plan.batch_size)), labels=[str(size) for size in sorted(set(plan.batch_size))])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    name = plan.cells()[0].model
    axes.set_title(f"{name} under TorchServe: {plan.runs} runs of each cell, line at the median")
    figure.supxlabel(note, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _label(cell: Cell) -> str:
    """What tells the lines of the picture apart."""
    share = f" at {cell.thread_percentage} %" if cell.thread_percentage else ""
    return f"{cell.workers}{', MPS' if cell.mps else ''}{share}"
