"""The archive of a model, by its name or path, and what it says of itself."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import yaml

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from handlers.archive.archives import NAMES, ArchiveError, Provenance, read_provenance


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
    """Where an archive comes from, by its own account. Raises UsageError where it is no archive."""
    try:
        return read_provenance(archive)
    except ArchiveError as error:
        raise UsageError(str(error)) from error


def archive_precision(archive: Path) -> str:
    """What one of our handlers calculates in unless told otherwise, by its model-config.yaml."""
    return str(archive_handler(archive).get("precision", "fp32"))


def archive_handler(archive: Path) -> dict[str, Any]:
    """The section `handler` of its model-config.yaml, which our handlers heed; empty where it has none."""
    with zipfile.ZipFile(archive) as mar:
        if "model-config.yaml" not in mar.namelist():
            return {}
        config = yaml.safe_load(mar.read("model-config.yaml")) or {}
    return dict(config.get("handler") or {})


def sha256_of(archive: Path) -> str:
    """By which an archive is told from another of the same name."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
