"""What `--until-sure` saves, and whether it decides right: replayed on the recorded runs of full grids.

`python -m benchmarks.until_sure FOLDER...`, results folders of `python -m mps.run`. Each run of the race is
the one that was measured then: both decisions rest on the same figures. The last line is one JSON object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import ExperimentError
from experiments.results.folder import read_plan, read_trials
from experiments.search.race import Replay, replay


@dataclass(frozen=True, slots=True)
class Told:
    """A replay in figures. `share` is that of the full grid's measuring time which the race took."""

    folder: str
    cells: int
    runs: int
    full_runs: int
    share: float
    agrees: bool
    race: list[str]
    full: list[str]


def told_of(folder: Path) -> Told:
    """Replays a results folder. Raises what reading it raises."""
    plan = read_plan(folder)
    found: Replay = replay(plan, read_trials(folder))
    return Told(
        folder=folder.name,
        cells=len([cell for cell in plan.cells() if not cell.twin]),
        runs=found.runs,
        full_runs=found.full_runs,
        share=found.measuring_s / found.full_measuring_s,
        agrees=found.agrees,
        race=[str(cell) for cell in found.race.contenders],
        full=[str(cell) for cell in found.full.contenders],
    )


def main(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of full grids.", show_default=False)],
) -> None:
    """What a race to the best configuration would have cost, and found."""
    try:
        replays = [told_of(folder) for folder in folders]
    except ExperimentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    for each in replays:
        typer.echo(
            f"{each.folder}: {each.runs} of {each.full_runs} runs of {each.cells} cells, {each.share:.0%} of "
            f"the measuring time; the decisions {'agree' if each.agrees else 'differ'}"
        )
        typer.echo(f"  the race:      {'; '.join(each.race)}")
        typer.echo(f"  the full grid: {'; '.join(each.full)}")
    typer.echo(
        json.dumps({each.folder: {"share": round(each.share, 4), "agrees": each.agrees} for each in replays})
    )


if __name__ == "__main__":
    typer.run(main)
