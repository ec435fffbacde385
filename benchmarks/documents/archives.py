"""Archives with other settings: of precision and engine every server heeds the archive's own."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.bench.model_store import MODEL_CONFIG, change_settings


def with_settings(archive: Path, folder: Path, handler: Mapping[str, Any]) -> Path:
    """`<folder>/<name>-<settings>.mar`: these settings of its handler in place of its own."""
    target = folder / "-".join([archive.stem, *map(str, handler.values())])
    target = target.with_name(f"{target.name}.mar")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as mar:
        held = source.namelist()
        for name in held:
            if name != MODEL_CONFIG:
                mar.writestr(source.getinfo(name), source.read(name))
        before = source.read(MODEL_CONFIG).decode() if MODEL_CONFIG in held else ""
        mar.writestr(MODEL_CONFIG, change_settings(before, handler))
    return target
