"""`python -m handlers.archive.parity ARCHIVE.mar`: how far its engines are from torch in fp32."""

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from handlers.archive.archives import CORPUS, ArchiveError, read_provenance
from handlers.archive.parity.inputs import our_texts, texts_of
from handlers.archive.parity.measured import Variant, measured, note_parity, variants_of
from handlers.engine.names import PACKAGES, TORCH, EngineError, why_no_file, why_not_installed

WRONG_USAGE = 2


def main(
    archive: Annotated[Path, typer.Argument(help="An archive that `make mar` built.")],
    texts: Annotated[
        Path | None, typer.Option(help="A file of texts, one on each line. [200 of ours, of 1 to 512 words]")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="onnxruntime, openvino, and torch for torch in fp64. [those installed that it has files for]"
        ),
    ] = "",
) -> None:
    """Tell how far the answers of an archive's engines are from those of torch in fp32, in each precision.

    Over the same inputs, in batches of mixed lengths; of ResNet50 over pictures of our own. What is found is
    noted in the archive, in its parity.json. With `--engine torch` it tells what torch's own rounding is.

    Exit codes: 0 all are as close as they should be; 1 one is not, or can't be compared; 2 wrong usage.

    Examples:

        python -m handlers.archive.parity model_store/bert.mar

        python -m handlers.archive.parity model_store/bert.mar --engine openvino --texts my-texts.txt
    """
    try:
        kind, variants = _asked(archive, engine)
        source, chosen = ("ours", our_texts(CORPUS.read_text("utf-8").splitlines()))
        if texts is not None:
            source, chosen = texts.name, texts_of(texts)
    except (ArchiveError, EngineError, OSError, ValueError) as error:
        _end(error, WRONG_USAGE)
    try:
        # Beside the archive: /tmp may be small, and in memory.
        with tempfile.TemporaryDirectory(prefix=".parity-", dir=archive.resolve().parent) as scratch:
            found = measured(archive, kind, variants, chosen, source, Path(scratch))
        note_parity(archive, found)
    except (EngineError, OSError) as error:
        _end(error, 1)
    for one in found:
        typer.echo(str(one))
    if not all(one.within for one in found):
        raise typer.Exit(1)


def _asked(archive: Path, engines: str) -> tuple[str, list[Variant]]:
    """The kind of the archive, and what is to be compared. Raises ArchiveError and EngineError."""
    kind = read_provenance(archive).kind
    if kind == "unknown":
        raise EngineError(f"{archive} was not built by make mar: what its handler gives can't be compared")
    with zipfile.ZipFile(archive) as mar:
        held = mar.namelist()
    named = [name.strip() for name in engines.split(",") if name.strip()]
    for name in named:
        if name not in (TORCH, *PACKAGES):
            raise EngineError(f"--engine {name}: choose of {', '.join((TORCH, *PACKAGES))}")
        if why := why_not_installed(name) or why_no_file(name, "fp32", held):
            raise EngineError(why)
    variants = variants_of(named or [name for name in PACKAGES if not why_not_installed(name)], held)
    if not variants:
        raise EngineError(f"{archive} holds nothing for an engine that is here: make mar ENGINE=onnxruntime")
    return kind, variants


def _end(error: Exception, code: int) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    typer.run(main)
