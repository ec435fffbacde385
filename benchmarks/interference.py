"""`python -m benchmarks.interference`: how well each kind of interference predicts what was not fitted.

Five folds, seeded, over three public campaigns and one of our own. Folds over runs: the same models with
other batches and shares were fitted. Folds over pairs of models: these two were never seen side by side.
"""

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.parts.neighbours import MOVED, Source, sources
from experiments.base.numbers import UNKNOWN
from experiments.placement.fitting import KINDS, Pair, fit, predicted

FOLDS = 5
SEED = 12
MARK = 13.98
"""The gpu-let paper's error at the 95th percentile, in percent (70 % of its pairs fitted, 30 % predicted)."""

Run = tuple[Pair, ...]


def main() -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE, title=f"Error of the predicted latency, %, in {FOLDS} folds")
    for column in ("measured on", "folds over", "kind"):
        table.add_column(column)
    for column in ("median", "90th", "95th"):
        table.add_column(column, justify="right")
    for source in sources():
        for over, group in GROUPS.items():
            for kind in KINDS:
                cells = [UNKNOWN] * 3
                if kind in source.kinds:
                    cells = [
                        f"{value:.1f}" for value in np.percentile(errors(source, kind, group), (50, 90, 95))
                    ]
                table.add_row(source.name, over, kind, *cells)
        table.add_section()
    console = Console()
    console.print(table)
    console.print(f"The paper's linear model, on its own pairs: {MARK} at the 95th percentile.")
    console.print(f"{UNKNOWN}: the source lacks what this kind needs.")


def errors(source: Source, kind: str, group: Callable[[Run], object]) -> npt.NDArray[np.float64]:
    """Relative errors in percent of every latency, each predicted by a fit to the other folds."""
    found = []
    for fitted, asked in folds(source.runs, group):
        interference = fit(
            kind,
            [pair for run in fitted for pair in run],
            source.table,
            uses_at_size=source.uses_at_size,
            moved=MOVED,
        )
        found += [abs(predicted(interference, pair) / pair.times - 1) for run in asked for pair in run]
    return 100 * np.array(found)


def folds(runs: Sequence[Run], group: Callable[[Run], object]) -> Iterator[tuple[list[Run], list[Run]]]:
    """What to fit and what to predict, five times; runs of one group are never in both."""
    groups = sorted({group(run) for run in runs}, key=repr)
    random.Random(SEED).shuffle(groups)
    number = {one: place % FOLDS for place, one in enumerate(groups)}
    for fold in range(FOLDS):
        yield (
            [run for run in runs if number[group(run)] != fold],
            [run for run in runs if number[group(run)] == fold],
        )


def _models(run: Run) -> object:
    return tuple(sorted({run[0].own.model, *(other.model for other in run[0].others)}))


GROUPS: dict[str, Callable[[Run], object]] = {"runs": lambda run: run, "pairs of models": _models}

if __name__ == "__main__":
    main()
