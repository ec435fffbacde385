"""`python -m benchmarks.documents litserve|triton|virtex`: what a published document measured, measured here.

A door: it reads the options, has a document's experiments carried out, prints and writes its tables.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from benchmarks.documents import litserve, triton, virtex
from benchmarks.documents.served import Keep
from benchmarks.parts.interleaved import Effort, Tell
from experiments.base.cores import usable_cores
from experiments.base.errors import UsageError
from experiments.base.files import write_whole
from experiments.base.paths import ROOT
from experiments.bench.archive import archive_of
from handlers.engine.names import PACKAGES
from mps.door import WIDTH_OF_FILES, one_line_errors, option, to_stderr
from mps.run_options import whole_numbers

HELP = """Measure what three published documents measured, each server in turns with the others, on the CPU.

Every answer is compared with that of the model alone. The last line is JSON. What the documents published is
printed beside, with what is wrong about it: docs/the-documents.md.

Examples, the first of each to see whether it runs: its figures mean nothing

  python -m benchmarks.documents litserve --rounds 1 --seconds 3 --settling 1 --concurrency 1,8

  python -m benchmarks.documents litserve --experiment 1 --experiment 2

  python -m benchmarks.documents triton --rounds 1 --seconds 2 --settling 1 --tokens 64

  python -m benchmarks.documents virtex --rounds 1 --seconds 2 --settling 1 --rates 20,40 --client-batch 1,5

Exit codes: 0 measured; 1 something failed; 2 wrong usage; 130 interrupted.
"""
WORKERS = 4  # the LitServe document's
KEPT = ROOT / ".build" / "documents"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=HELP, no_args_is_help=True)

Rounds = Annotated[int, typer.Option(min=1, help="Turns of each server.")]
Seconds = Annotated[float, typer.Option(min=0.5, help="Measured in each turn.")]
Settling = Annotated[float, typer.Option(min=0.5, help="Seconds of load before, answers checked.")]
Servers = Annotated[list[str] | None, option("--server", help="May be repeated. [the document's]")]
Threads = Annotated[int, typer.Option(min=1, help="Torch threads of a worker.")]
Out = Annotated[Path | None, option("--out", help="A folder for the tables as CSV.")]


@app.command("litserve")
def litserve_experiments(
    experiment: Annotated[list[int] | None, option("--experiment", help="Of 1 to 6. [all]")] = None,
    concurrency: Annotated[str, typer.Option(help="Requests in flight.")] = "1,8,32,64",
    model: Annotated[str, typer.Option(help="An archive of images.")] = "resnet50",
    workers: Annotated[int | None, option("--workers", help="For their 4. [the cores, 4 at most]")] = None,
    small_batch: Annotated[int, typer.Option(min=1, help="The limit of experiment 6, for their 256.")] = 8,
    rounds: Rounds = 5,
    seconds: Seconds = 8.0,
    settling: Settling = 5.0,
    threads: Threads = 1,
    server: Servers = None,
    out: Out = None,
) -> None:
    """Six experiments with an image classifier: batches, workers, half precision, delay, batch size."""
    with _measuring() as tell:
        in_flight = whole_numbers("concurrency", concurrency)
        of_cores = min(WORKERS, usable_cores())
        all_six = litserve.experiments(workers or of_cores, max(in_flight), small_batch)
        if unknown := set(experiment or ()) - {each.number for each in all_six}:
            raise UsageError(f"no experiment {min(unknown)}: choose among 1 to {len(all_six)}")
        only = [each for each in all_six if not experiment or each.number in experiment]
        effort = _effort(rounds, seconds)
        asked = litserve.Asked(
            archive_of(model), only, in_flight, effort, settling, threads, server or litserve.SERVERS
        )
        found, limits = litserve.measure(asked, tell, _keeping(out))
        _show(litserve.table(found), litserve.ceilings_table(limits))
        best = found.groupby("server")["throughput_rps"].max()
        typer.echo(json.dumps({f"best_{name}_rps": float(f"{rps:.4g}") for name, rps in best.items()}))


@app.command("triton")
def triton_table(
    runtime: Annotated[list[str] | None, option("--runtime", help="May be repeated. [all]")] = None,
    tokens: Annotated[int, typer.Option(help="Of each text.")] = 512,
    at_once: Annotated[int, typer.Option(min=1, help="Requests in flight for requests/s.")] = 4,
    model: Annotated[str | None, option("--model", help="An archive of texts. [BERT-base, random]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Of each server.")] = 1,
    rounds: Rounds = 5,
    seconds: Seconds = 10.0,
    settling: Settling = 10.0,
    threads: Threads = 1,
    server: Servers = None,
    out: Out = None,
) -> None:
    """Runtimes, each under TorchServe and under Triton, and how far their answers are from torch's."""
    with _measuring() as tell:
        wanted = list(runtime or triton.RUNTIMES)
        if unknown := set(wanted) - {*triton.RUNTIMES, *PACKAGES}:
            raise UsageError(f"no runtime {min(unknown)}: choose among {', '.join(triton.RUNTIMES)}")
        runtimes = triton.possible(wanted, tell)
        if not runtimes:
            raise UsageError("none of the runtimes runs here: see the lines above")
        if model is None:
            tell(f"an archive of BERT-base for them, in {KEPT}")
        archive = archive_of(model) if model else triton.bert_base(KEPT, runtimes)
        effort = _effort(rounds, seconds)
        asked = triton.Asked(
            archive, runtimes, effort, settling, tokens, at_once, workers, threads, server or triton.SERVERS
        )
        found = triton.measure(asked, tell, _keeping(out))
        _show(triton.table(found))
        alone = {
            f"{row['runtime']}_{row['server']}_ms": row["alone_p50_ms"] for row in found.to_dict("records")
        }
        typer.echo(json.dumps({name: float(f"{value:.4g}") for name, value in alone.items()}))


@app.command("virtex")
def virtex_load(
    rates: Annotated[
        str, typer.Option(help="Texts a second, whatever requests they come in.")
    ] = "20,40,80,160",
    client_batch: Annotated[str, typer.Option(help="Texts in a request.")] = "1,5,10,25",
    tokens: Annotated[int, typer.Option(help="Of each text.")] = 10,
    model: Annotated[str, typer.Option(help="An archive of a text classifier.")] = "bert",
    workers: Annotated[int, typer.Option(min=1, help="Of each server.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="The most in a batch.")] = 144,
    batch_delay: Annotated[int, typer.Option(min=1, help="In ms.")] = 10,
    rounds: Rounds = 5,
    seconds: Seconds = 10.0,
    settling: Settling = 10.0,
    threads: Threads = 1,
    server: Servers = None,
    out: Out = None,
) -> None:
    """An open loop at rising rates, with one text in a request or several."""
    with _measuring() as tell:
        asked = virtex.Asked(
            archive_of(model),
            whole_numbers("rates", rates),
            whole_numbers("client_batch", client_batch),
            _effort(rounds, seconds),
            settling,
            tokens,
            workers,
            batch_size,
            batch_delay,
            threads,
            server or virtex.SERVERS,
        )
        found = virtex.measure(asked, tell, _keeping(out))
        _show(virtex.table(found))
        followed = found[found["right"] >= found["due"]]
        most = followed.groupby("server")["texts_rps"].max()
        typer.echo(json.dumps({f"most_{name}_texts_rps": float(f"{rps:.4g}") for name, rps in most.items()}))


@contextmanager
def _measuring() -> Iterator[Tell]:
    console = to_stderr()
    with one_line_errors(lambda: "the servers are stopped"):
        yield lambda line: console.print(line, markup=False)


def _effort(rounds: int, seconds: float) -> Effort:
    return Effort(rounds, seconds, warm_up_s=min(1.0, seconds), trial_s=seconds / 2)


def _show(*tables: Table) -> None:
    console = to_stderr()
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    for each in tables:
        console.print(each)


def _keeping(out: Path | None) -> Keep:
    """Writes tables to the folder, if there is one, which is tried before anything is measured."""
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}: choose another --out") from error

    def keep(frames: Mapping[str, pd.DataFrame]) -> None:
        if out is not None:
            for name, frame in frames.items():
                write_whole(out / f"{name}.csv", frame.to_csv(index=False))

    return keep


if __name__ == "__main__":
    app()
