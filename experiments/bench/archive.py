"""The archive of a model, by its name or path, and what it says of itself."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.base.yaml_files import parsed_yaml
from experiments.bench.model_store import MODEL_CONFIG
from handlers.archive.archives import NAMES, PROVENANCE, ArchiveError, Provenance, read_provenance
from handlers.archive.parity.measured import FILE as PARITY

MANIFEST, TOKENIZER = "MAR-INF/MANIFEST.json", "tokenizer.json"
MOST_BYTES = dict.fromkeys((MODEL_CONFIG, MANIFEST, PROVENANCE, PARITY), 2**20) | {TOKENIZER: 128 * 2**20}
"""Of what is read from an archive here, unpacked; the tokenizer of xlm-roberta has 17 MB."""
# Of zipfile and json: encrypted, damaged, packed in an unknown way, nested too deeply, or no mapping.
UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, TypeError)


def archive_of(model: str) -> Path:
    """The .mar of bert, resnet50 or embeddings in model_store/, or the one at a path.

    Raises UsageError where there is none.
    """
    if model.endswith(".mar"):
        path = Path(model)
        remedy = "check the path"
    elif model in NAMES.values():
        path = ROOT / "model_store" / f"{model}.mar"
        remedy = "run `make mar` first"
    else:
        raise UsageError(
            f"unknown model {model!r}: use bert, resnet50, embeddings or the path of a .mar file"
        )
    if not path.is_file():
        raise UsageError(f"no archive {path}: {remedy}")
    return path


def provenance_of(archive: Path) -> Provenance:
    """Where an archive comes from, by its own account. Raises UsageError where it is no archive, or tells
    more than it can have to tell."""
    try:
        _refuse_swollen(archive)
        return read_provenance(archive)
    except ArchiveError as error:
        raise UsageError(str(error)) from error
    except UNREADABLE as error:
        raise UsageError(f"{archive} is no archive that can be read: {error}") from error


def archive_precision(archive: Path) -> str:
    """What one of our handlers calculates in unless told otherwise, by its model-config.yaml."""
    return str(archive_handler(archive).get("precision", "fp32"))


def archive_handler(archive: Path) -> dict[str, Any]:
    """The section `handler` of its model-config.yaml, which our handlers heed; empty where it has none."""
    _refuse_swollen(archive)
    try:
        with zipfile.ZipFile(archive) as mar:
            text = mar.read(MODEL_CONFIG).decode() if MODEL_CONFIG in mar.namelist() else ""
        config = parsed_yaml(text, archive / MODEL_CONFIG) or {}
        return dict(config.get("handler") or {})
    except (AttributeError, ValueError, *UNREADABLE) as error:
        raise UsageError(f"{archive / MODEL_CONFIG} can't be followed: {error}") from error


def _refuse_swollen(archive: Path) -> None:
    """Raises UsageError where one of the archive's notes is so large that reading it would take the memory:
    a packed gigabyte of blanks is a megabyte. What is no archive is not refused here."""
    if not zipfile.is_zipfile(archive):
        return
    with zipfile.ZipFile(archive) as mar:
        for entry in mar.infolist():
            most = MOST_BYTES.get(entry.filename)
            if most is not None and entry.file_size > most:
                raise UsageError(
                    f"{archive}: its {entry.filename} has {entry.file_size / 2**20:,.0f} MiB, more than "
                    f"{most / 2**20:,.0f}: archive it again"
                )


def sha256_of(archive: Path) -> str:
    """By which an archive is told from another of the same name."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
