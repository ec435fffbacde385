"""Folders of a model store: an archive under several names, each with settings of its own.

TorchServe serves a folder as it serves a .mar, without unpacking it; the weights are the same file in all of
them (hard links).
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from experiments.base.errors import ExperimentError
from experiments.serving.torchserve.archives import unpack

MODEL_CONFIG = "model-config.yaml"


def furnish(
    archive: Path,
    store: Path,
    name: str,
    handler: Mapping[str, Any],
    torchserve: Mapping[str, Any] | None = None,
) -> Path:
    """The archive as folder `name` of a store, with these settings in place of its own in model-config.yaml:
    `handler` those of our handlers, `torchserve` those of the frontend (batchSize, minWorkers, ...).

    Raises UsageError where there is no archive, ExperimentError where the store can't be written.
    """
    try:
        unpacked = store / f".{archive.stem}"
        if not unpacked.exists():
            unpack(archive, unpacked)
        folder = store / name
        shutil.copytree(unpacked, folder, copy_function=os.link)
        config = folder / MODEL_CONFIG
        values = change_settings(config.read_text("utf-8") if config.exists() else "", handler, torchserve)
        config.unlink(missing_ok=True)  # it is a link, and the others' too
        config.write_text(values, "utf-8")
    except OSError as error:
        raise ExperimentError(f"can't write {store / name}: {error.strerror}; make room") from error
    return folder


def change_settings(
    text: str, handler: Mapping[str, Any], torchserve: Mapping[str, Any] | None = None
) -> str:
    """A model-config.yaml with these settings in place of its own."""
    values = yaml.safe_load(text) or {}
    values["handler"] = {**(values.get("handler") or {}), **handler}
    return yaml.safe_dump({**values, **(torchserve or {})})
