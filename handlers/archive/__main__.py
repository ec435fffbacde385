"""`python -m handlers.archive`: builds the archives, as `make mar` asks for them, and says what was done."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from handlers.archive.archives import NAMES, ArchiveError, Kind, build, is_current, read_provenance
from handlers.archive.sources import CheckpointError, locate


def main(
    bert: Annotated[str, typer.Option(help="A BERT-like text classifier: folder or model hub id.")] = "",
    resnet50: Annotated[str, typer.Option(help="A ResNet image classifier: folder or model hub id.")] = "",
    embeddings: Annotated[str, typer.Option(help="A BERT-like encoder: folder or model hub id.")] = "",
    out: Annotated[Path, typer.Option(help="The folder for the archives.")] = Path("model_store"),
) -> None:
    """Build bert.mar, resnet50.mar and embeddings.mar from checkpoints.

    Where none is given, an archive keeps the one it was built from; a new one gets the full-size architecture
    with random weights, as does one for which `random` is given.

    Examples:

        python -m handlers.archive

        python -m handlers.archive --bert distilbert/distilbert-base-uncased-finetuned-sst-2-english

        python -m handlers.archive --resnet50 ~/models/resnet50 --out /tmp/store
    """
    for stream in (sys.stdout, sys.stderr):  # a path that the console can't show is no reason to fail
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    given: dict[Kind, str] = {"text": bert, "image": resnet50, "embedding": embeddings}
    try:
        for kind, source in given.items():
            _build_and_tell(kind, source, out)
    except (ArchiveError, CheckpointError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _build_and_tell(kind: Kind, given: str, out: Path) -> None:
    archive = out / f"{NAMES[kind]}.mar"
    source = None if given == "random" else given or _earlier_source(archive)
    if not given and source and not _is_there(source):
        typer.echo(f"{archive} is kept as it is: its checkpoint {source} is not there any more")
        return
    if is_current(kind, source, archive):
        typer.echo(f"{archive} is up to date")
        return
    typer.echo(f"{archive}: building from {source or 'random weights'} ...")
    build(kind, source, out)
    provenance = read_provenance(archive)
    note = f"; {provenance.note}" if provenance.note else ""
    typer.echo(f"{archive}: {provenance.architecture}, {archive.stat().st_size / 1e6:.0f} MB{note}")


def _earlier_source(archive: Path) -> str | None:
    """The checkpoint an archive was built from; None where there is no archive or its weights are random."""
    try:
        earlier = read_provenance(archive)
    except ArchiveError:
        return None
    return None if earlier.random_weights else earlier.source


def _is_there(source: str) -> bool:
    try:
        locate(source)
    except CheckpointError:
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
