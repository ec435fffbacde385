"""An archive whose model does nothing: what remains under it is TorchServe, and whatever measures it."""

import json
import zipfile
from pathlib import Path

HANDLER = """
def handle(rows, context):
    return rows and ["ok"] * len(rows)
"""
MANIFEST = {
    "runtime": "python",
    "model": {"modelName": "noop", "handler": "noop.py", "modelVersion": "1.0"},
    "archiverVersion": "0.12.0",
}


def noop_archive(folder: Path) -> Path:
    """Builds `<folder>/noop.mar`: a .mar is a zip file with a manifest."""
    archive = folder / "noop.mar"
    with zipfile.ZipFile(archive, "w") as mar:
        mar.writestr("noop.py", HANDLER)
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps(MANIFEST))
    return archive
