"""`python -m handlers.archive`: builds the archives, as `make mar` asks for them, and says what was done."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from handlers.archive.archives import NAMES, ArchiveError, Kind, build, is_current, read_provenance
from handlers.archive.engines.asked import ONLY_TORCH, Engines, engines_of, why_missing
from handlers.archive.parity.measured import read_parity
from handlers.archive.sources import CheckpointError, locate
from handlers.engine.names import EngineError


def main(
    bert: Annotated[str, typer.Option(help="A BERT-like text classifier: folder or model hub id.")] = "",
    resnet50: Annotated[str, typer.Option(help="A ResNet image classifier: folder or model hub id.")] = "",
    embeddings: Annotated[str, typer.Option(help="A BERT-like encoder: folder or model hub id.")] = "",
    engine: Annotated[
        str, typer.Option(help="onnxruntime, openvino or both: what they read goes into the archives, too.")
    ] = "",
    int8: Annotated[
        bool, typer.Option("--int8", help="For onnxruntime in 8-bit whole numbers, too.")
    ] = False,
    accept_parity: Annotated[
        bool, typer.Option("--accept-parity", help="Even where an engine differs from torch too much.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the archives.")] = Path("model_store"),
) -> None:
    """Build bert.mar, resnet50.mar and embeddings.mar from checkpoints.

    Where none is given, an archive keeps the one it was built from; a new one gets the full-size architecture
    with random weights, as does one for which `random` is given. Without --engine, it keeps the engines that
    it was built for; torch serves every archive, and `--engine torch` leaves it alone there.

    Examples:

        python -m handlers.archive

        python -m handlers.archive --bert distilbert/distilbert-base-uncased-finetuned-sst-2-english

        python -m handlers.archive --resnet50 ~/models/resnet50 --out /tmp/store

        python -m handlers.archive --engine onnxruntime,openvino
    """
    for stream in (sys.stdout, sys.stderr):  # a path that the console can't show is no reason to fail
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    given: dict[Kind, str] = {"text": bert, "image": resnet50, "embedding": embeddings}
    try:
        asked = engines_of(engine, int8=int8, accept_parity=accept_parity) if engine or int8 else None
        for kind, source in given.items():
            _build_and_tell(kind, source, out, asked)
    except (ArchiveError, CheckpointError, EngineError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _build_and_tell(kind: Kind, given: str, out: Path, asked: Engines | None) -> None:
    archive = out / f"{NAMES[kind]}.mar"
    source = None if given == "random" else given or _earlier_source(archive)
    if not given and source and not _is_there(source):
        typer.echo(f"{archive} is kept as it is: its checkpoint {source} is not there any more")
        return
    engines = asked or _earlier_engines(archive)
    if not asked and (missing := why_missing(engines)):
        typer.echo(f"{archive} is kept as it is: {missing}; or without it: make mar ENGINE=torch")
        return
    if is_current(kind, source, archive, engines):
        typer.echo(f"{archive} is up to date")
        return
    beside = f" for {', '.join(engines.names)}" if engines.names else ""
    typer.echo(f"{archive}: building from {source or 'random weights'}{beside} ...")
    build(kind, source, out, engines=engines)
    provenance = read_provenance(archive)
    note = f"; {provenance.note}" if provenance.note else ""
    typer.echo(f"{archive}: {provenance.architecture}, {archive.stat().st_size / 1e6:.0f} MB{note}")
    for parity in read_parity(archive):
        typer.echo(f"  {parity}")


def _earlier_source(archive: Path) -> str | None:
    """The checkpoint an archive was built from; None where there is no archive or its weights are random."""
    try:
        earlier = read_provenance(archive)
    except ArchiveError:
        return None
    return None if earlier.random_weights else earlier.source


def _earlier_engines(archive: Path) -> Engines:
    """What an archive was built for. How far they differ was accepted then, if it had to be."""
    try:
        earlier = read_provenance(archive)
    except ArchiveError:
        return ONLY_TORCH
    accepted = any(not one.within for one in read_parity(archive))
    return Engines(earlier.engines, earlier.int8, accepted)


def _is_there(source: str) -> bool:
    try:
        locate(source)
    except CheckpointError:
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
