"""Host side: when is an archive built anew? A digest of everything that shapes it, known before any weight is
read."""

import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from handlers.archive.sentence_models import Recipe, dense_weights

HERE = Path(__file__).resolve().parent.parent  # handlers/
CORPUS = HERE / "corpus.txt"
SEED = 42

# What the handlers share; in the archive it is the package `handlers`, as in the repository.
SHARED = ("request", "engine", "model", "text", "image")

# Our modules that shape what lies in an archive, and those that shape what lies there for engines only.
PACKERS = (
    "archives",
    "checkpoints",
    "image_recipes",
    "saved_tokenizers",
    "sentence_models",
    "telling_apart",
    "trial",
    "vocabulary",
)
PACKERS_FOR_ENGINES = (
    "engines/asked",
    "engines/exported",
    "parity/differences",
    "parity/inputs",
    "parity/inside",
    "parity/measured",
)

# Packages whose version leaves traces in an archive.
TOOLS = ("torch-model-archiver", "transformers", "tokenizers", "torch", "safetensors")


def fingerprint(
    handler: str,
    source: str | Path | None,
    folder: Path | None,
    recipe: Recipe | None,
    tools: Sequence[str],
) -> str:
    """Our files count by content, since git renews their times; a checkpoint's by name, size and time, since
    hashing gigabytes would take longer than building. `recipe` is that of a sentence model, `tools` are the
    packages that engines need, none where there are no engines."""
    digest = hashlib.sha256(f"{source}\0{SEED}\0".encode())
    for tool in (*TOOLS, *tools):
        digest.update(f"{tool}=={_version(tool)}\0".encode())
    for file in _ingredients(handler, PACKERS_FOR_ENGINES if tools else ()):
        digest.update(f"{file.relative_to(HERE)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    if folder is None:
        digest.update(CORPUS.read_bytes())
    else:
        for file in sorted(path for path in folder.iterdir() if path.is_file()):
            status = file.stat()
            digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        if recipe is not None:  # some of it lies in folders below
            digest.update(repr(recipe).encode())
            for step in recipe.chain.steps:
                if step.kind == "dense":
                    status = dense_weights(folder, step).stat()
                    digest.update(f"{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def shared_files() -> list[Path]:
    """The files that a worker needs beside its handler, relative to handlers/."""
    found = [HERE / "__init__.py"]
    for folder in SHARED:
        found += sorted((HERE / folder).glob("*.py"))
    return [file.relative_to(HERE) for file in found]


def _ingredients(handler: str, more: Sequence[str]) -> Iterator[Path]:
    yield from (HERE / "archive" / f"{module}.py" for module in (*PACKERS, *more))
    yield from (HERE / file for file in (*shared_files(), Path(f"{handler}.py")))
    yield HERE / "model-config" / f"{handler}.yaml"


def _version(tool: str) -> str:
    """None of a package that is missing: an archive made with it is not current, and can't be built anew."""
    try:
        return version(tool)
    except PackageNotFoundError:
        return "none"
