"""`python -m mps.profile`: how long a model's batches take on each share of a GPU, or of a CPU's cores.

A door: it reads the options, measures, writes the points, prints them.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from experiments.base.errors import UsageError
from experiments.bench.archive import archive_of
from experiments.checks import choose
from experiments.profile import (
    Asked,
    Beside,
    Point,
    profile,
    profile_side_by_side,
    write_beside,
    write_points,
)
from experiments.serving.arms import MpsOptions
from mps.door import one_line_errors, to_stdout
from mps.run_options import whole_numbers

HELP = """Measure how long batches take on each share of a GPU (by MPS), or of a CPU's cores.

The handler's own forward pass, alone on its share, in a process that loads the archive as a worker does; all
shares and batch sizes in turns. The file has p50, p95 and p99 for each batch size and share, the
multiprocessors that the process really sees, and its memory.

Examples:

  python -m mps.profile --model bert,resnet50 --share 25,50,100 --batch-size 1,2,4,8 --precision fp16

  python -m mps.profile --engine torch,onnxruntime --share 100    # engines side by side

  python -m mps.profile --share 50,100     # on a machine without a GPU a share is whole cores

  python -m mps.profile --model bert,resnet50 --share 50,100 --pairs pairs.csv    # and two beside each other

  python -m mps.profile --model bert,resnet50 --share 20,40,60,100 --pairs pairs.csv --together 2,3

Exit codes: 0 measured; 1 something failed; 2 wrong usage; 130 interrupted.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    model: Annotated[
        str, typer.Option(help="bert, resnet50, embeddings, paths of .mar files, or several of them.")
    ] = "bert",
    share: Annotated[str, typer.Option(help="Percent of the GPU or of the cores.")] = "50,100",
    batch_size: Annotated[str, typer.Option(help="Requests in a batch.")] = "1,2,4,8",
    precision: Annotated[str | None, typer.Option(help="fp32, tf32, fp16 or bf16. [the archive's]")] = None,
    engine: Annotated[str | None, typer.Option(help="torch, onnxruntime or others. [the archive's]")] = None,
    tokens: Annotated[int | None, typer.Option(help="Texts of so many tokens. [of several lengths]")] = None,
    rounds: Annotated[int, typer.Option(help="Looks at each point.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of a look.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the order of shares and inputs.")] = 0,
    out: Annotated[Path, typer.Option(help="The file, CSV.")] = Path("profile.csv"),
    pairs: Annotated[
        Path | None, typer.Option(help="Measure also each two models side by side, into this file.")
    ] = None,
    together: Annotated[str, typer.Option(help="How many of them side by side: 2, 3, or 2,3.")] = "2",
    gpu: Annotated[str | None, typer.Option(help="Index or UUID. [the first that CUDA would use]")] = None,
    keep_compute_mode: Annotated[
        bool, typer.Option("--keep-compute-mode", help="Leave the GPU's compute mode as it is.")
    ] = False,
) -> None:
    """See HELP."""
    console = to_stdout()
    points: list[Point] = []

    def tell(line: str) -> None:
        console.print(line, markup=False)

    def warn(line: str) -> None:
        tell(f"warning: {line}")

    with one_line_errors(
        lambda: f"{out} holds the models that were measured" if points else "nothing is kept"
    ):
        archives = [archive_of(name) for name in model.split(",")]
        asked = Asked(
            whole_numbers("share", share),
            whole_numbers("batch_size", batch_size),
            precision,
            tokens,
            rounds,
            seconds,
            seed=seed,
            engines=engine.split(",") if engine else (None,),
        )
        if not out.absolute().parent.is_dir():
            raise UsageError(f"no folder {out.absolute().parent}: make it, or choose another --out")
        card, measured_on = choose(which=gpu)
        console.print(f"measuring on: {measured_on}", markup=False)
        for archive in archives:
            points += profile(
                archive,
                asked,
                card,
                MpsOptions(keep_compute_mode),
                tell,
                warn,
            )
            write_points(out, points)
        console.print(_table(points))
        console.print(f"{len(points)} points: {out}", markup=False)
        if pairs is not None:
            beside: list[Beside] = []
            for count in whole_numbers("together", together):
                beside += profile_side_by_side(
                    archives, asked, count, card, MpsOptions(keep_compute_mode), tell, warn
                )
                write_beside(pairs, beside)
            console.print(f"{len(beside)} batches beside others: {pairs}", markup=False)


def _table(points: list[Point]) -> Table:
    """Medians in ms, a row for each model and share, a column for each batch size."""
    sizes = sorted({point.batch_size for point in points})
    table = Table(box=box.SIMPLE, title=f"{points[0].device}: median ms of a batch")
    for heading in ("model", "engine", "share", "of it", *(f"batch {size}" for size in sizes)):
        table.add_column(heading, justify="right")
    found = {(point.model, point.engine, point.share_percent, point.batch_size): point for point in points}
    for name, engine, percent in dict.fromkeys(key[:3] for key in found):
        row = [found[name, engine, percent, size] for size in sizes]
        part = f"{row[0].cores} cores" if row[0].cores else f"{row[0].multiprocessors} SMs"
        table.add_row(name, engine, f"{percent} %", part, *(f"{point.latency_ms_p50:.3g}" for point in row))
    return table


if __name__ == "__main__":
    app()
