"""`python -m benchmarks`: every published ratio, measured in one run; `make bench` calls it.

Tells on stderr how it goes, and ends with one line of JSON on stdout. What is measured lives in the other
modules; here are their order, the time they get, and the errors.
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import bad_input, bare, load_generator, settings, stock
from benchmarks.parts.interleaved import Comparison, Effort, Tell
from benchmarks.parts.nginx import ToolMissingError
from experiments.base.errors import INTERRUPTED, ExperimentError, UsageError

Part = Callable[[Path, Effort, Tell], dict[str, Comparison]]
PARTS: dict[str, Part] = {
    "settings": settings.measure,
    "bare": bare.measure,
    "stock": stock.measure,
    "bad_input": bad_input.measure,
    "load_generator": load_generator.measure,
}
# What the ratios shall reach on 2 cores without a GPU.
AT_LEAST = {
    "settings_over_defaults": 1.8,
    "minilm_served_over_bare": 0.95,
    "bert_base_served_over_bare": 0.97,
    "resnet50_served_over_bare": 0.85,
    "stock_text_15": 10.0,
    "stock_text_60": 2.5,
    "stock_text_150": 1.1,
    "stock_image_500": 1.2,
    "stock_image_2000": 1.5,
    "bad_text_over_good": 0.97,
    "bad_image_over_good": 0.97,
    "load_generator_over_wrk_nginx": 0.9,
    "load_generator_over_wrk_noop": 0.9,
}

HELP = """Measure every ratio that this project claims: rivals in turns, medians over the rounds.

Needs an otherwise idle machine; on 2 cores all parts take less than half an hour. A run with a single failed
request is no result: its part is reported and left out. The last line is one JSON object.

Examples:

  python -m benchmarks

  python -m benchmarks --only stock --only bare

  python -m benchmarks --only settings --each      # what each setting does alone, as a table

  python -m benchmarks --rounds 1 --seconds 1      # does it run? The figures mean nothing

Exit codes: 0 all was measured; 1 a part failed; 2 wrong usage; 130 interrupted.
"""

console = Console(stderr=True, soft_wrap=True, highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    only: Annotated[list[str] | None, typer.Option(help=f"A part: {', '.join(PARTS)}. [all]")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each rival.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured in each run.")] = 4.0,
    each: Annotated[
        bool, typer.Option("--each", help="Print the table of single settings, nothing else.")
    ] = False,
) -> None:
    """See HELP."""
    signal.signal(signal.SIGTERM, _interrupt)
    effort = Effort(rounds, seconds, warm_up_s=min(1.0, seconds), trial_s=seconds / 2)
    try:
        if each:
            rows = list(settings.against_defaults([settings.OURS, *settings.EACH], effort, _teller()))
            typer.echo(settings.markdown(rows))
            return
        found, failed = _measure(_parts(only), effort)
    except ExperimentError as error:
        _report(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        console.print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    console.print(_table(found))
    typer.echo(json.dumps({name: round(comparison.ratio, 4) for name, comparison in found.items()}))
    if failed:
        raise typer.Exit(1)


def _parts(only: list[str] | None) -> dict[str, Part]:
    if unknown := set(only or ()) - set(PARTS):
        raise UsageError(f"no part {', '.join(sorted(unknown))}: choose among {', '.join(PARTS)}")
    return {name: part for name, part in PARTS.items() if not only or name in only}


def _measure(parts: dict[str, Part], effort: Effort) -> tuple[dict[str, Comparison], bool]:
    """The comparisons of all parts by name, and whether a part failed: the others go on without it."""
    tell = _teller()
    found: dict[str, Comparison] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        for part in parts.values():
            try:
                found |= part(Path(folder), effort, tell)
            except ToolMissingError as missing:
                tell(f"left out: {missing}")
            except ExperimentError as error:
                failed = True
                _report(error)
    return found, failed


def _teller() -> Tell:
    """Prints lines with the minutes and seconds since now."""
    begin_s = time.monotonic()

    def tell(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin_s), 60)
        console.print(f"{minutes:2}:{seconds:02} {line}")

    return tell


def _report(error: ExperimentError) -> None:
    if error.details:
        console.print(error.details, markup=False)
    console.print(f"error: {error}", markup=False)


def _table(found: dict[str, Comparison]) -> Table:
    table = Table(box=box.SIMPLE, title="medians of interleaved runs")
    table.add_column("ratio")
    for heading in ("median", "min - max", "at least"):
        table.add_column(heading, justify="right")
    for name, comparison in found.items():
        least, most = comparison.range
        wanted = AT_LEAST.get(name)
        table.add_row(
            name,
            f"{comparison.ratio:.3f}",
            f"{least:.3f} - {most:.3f}",
            f"{wanted:g}" + (" (missed)" if comparison.ratio < wanted else "") if wanted else "",
        )
    return table


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
