"""`python -m mps.fleet`: how many cards and instances of which kind a demand needs, and what they cost.

A door: it reads demands, prices, results folders and profiles, plans, and prints.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import write_json
from experiments.fleet.demand import read_demands
from experiments.fleet.fleet import plan_fleet, services
from experiments.fleet.manifests import write_services
from experiments.fleet.measured import read_verdicts
from experiments.fleet.placements import copies_of
from experiments.fleet.prices import read_prices
from experiments.fleet.shares import read_profiles
from experiments.fleet.shown import (
    as_json,
    cheaper,
    copies_told,
    demand_table,
    followed,
    nodes_table,
    room,
    scaling_table,
    sentence,
    told,
)
from experiments.fleet.speedup import Speedup, read_scaling
from mps.door import one_line_errors, option, to_stdout

HELP = """How many cards and instances of which kind a demand needs, and what that costs.

The demand is a YAML file: `demands:`, a list of `model`, `slo` (p99=100ms), and `rate_rps` or `curve_rps`,
a day in 24 or 96 points. Prices are a YAML file of your own: `currency`, `region`, `date`, `instances`.
What an instance does is taken from results folders, from profiles, or from what the demand says of others'
measurements (`stated`). Nothing is measured here.

Every way that was measured is told beside its cost: a whole card, time slicing, MPS, shares, MIG, CPUs; with
the range that the runs leave. The others are 'not measured'. The fleet is the cheapest choice that is found,
with services of CPUs packed into what nodes with cards leave.

Example:

  python -m mps.fleet demand.yaml --prices prices.yaml --results results/a --results results/b

With --services FILE it goes on: `python -m mps.manifests FILE --write DIR --target kubernetes`.

Exit codes: 0 planned; 1 no way keeps a bound, or something failed; 2 wrong usage; 130 interrupted.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    demand: Annotated[Path, typer.Argument(help="The models, their rates and bounds.")],
    prices: Annotated[Path, typer.Option(help="What instances cost.")],
    results: Annotated[list[Path] | None, typer.Option(help="A results folder; may be given again.")] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A profile of a GPU, FILE or CARD=FILE; may be given again."),
    ] = None,
    placement: Annotated[
        list[Path] | None,
        typer.Option(help="What `mps.place` wrote: how often it is needed; may be given again."),
    ] = None,
    scaling: Annotated[
        list[str] | None,
        typer.Option(
            help="DIR of results on some cores of a CPU, or N=DIR on N cards: throughput by their number; "
            "two or more."
        ),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="A PNG of --scaling.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all of it to this file, too.")] = None,
    list_of: Annotated[
        Path | None,
        option("--services", help="Write the list of services that `python -m mps.manifests` takes."),
    ] = None,
) -> None:
    """See HELP."""
    console = to_stdout()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    with one_line_errors(lambda: "nothing was written"):
        if figure and not scaling:
            raise UsageError("--figure shows --scaling: give that, too")
        reached = read_scaling(scaling) if scaling else None
        demands = read_demands(demand)
        placed = [copies_of(folder, demands) for folder in placement or []]
        costs = read_prices(prices)
        profiles = read_profiles(profile or [])
        fleet = plan_fleet(demands, costs, read_verdicts(results or [], demands), profiles)
        for planned in fleet.planned:
            console.print(demand_table(planned, costs.currency))
            tell(sentence(planned))
            for line in filter(None, (room(planned), cheaper(planned), followed(planned))):
                tell(line)
        console.print(nodes_table(fleet))
        for line in told(fleet):
            tell(line)
        for copies in placed:
            tell(copies_told(copies))
        if reached:
            console.print(scaling_table(reached))
        if reached and figure:
            with _written(figure, "--figure", tell):
                _draw(figure, reached)
        if json:
            with _written(json, "--json", tell):
                write_json(json, as_json(fleet, placed, reached))
        if list_of:
            with _written(list_of, "--services", tell):
                write_services(list_of, services(fleet), f"Planned by `python -m mps.fleet {demand}`.")


@contextmanager
def _written(path: Path, name: str, tell: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExperimentError(f"{path} can't be written: {error.strerror}: give another {name}") from error
    tell(f"written: {path}")


def _draw(path: Path, reached: Speedup) -> None:
    sources = ", ".join(each.source for each in reached.reached)
    # Here and not above: seaborn takes two seconds to import.
    from experiments.report.drawing.canvas import theme
    from experiments.report.figures import speedup

    with theme():
        picture = (
            speedup.figure(reached).drawn(f"The best cell of {sources}; bars: the range of its runs").picture
        )
    picture.save(path, "PNG")


if __name__ == "__main__":
    app()
