"""An archive whose model sleeps, as a worker does whose GPU is at work: more workers really serve more,
however few the cores are."""

import json
import zipfile
from pathlib import Path

from experiments.serving.noop import MANIFEST

HANDLER = """
import time

LOADING_S, FIXED_S, EACH_S = {loading_s}, {fixed_s}, {each_s}
loaded = False


def handle(rows, context):
    global loaded
    if not loaded:
        time.sleep(LOADING_S)
        loaded = True
    if not rows:
        return rows
    time.sleep(FIXED_S + EACH_S * len(rows))
    return ["ok"] * len(rows)
"""


def sleeping_archive(folder: Path, fixed_ms: float, each_ms: float, loading_s: float = 0.0) -> Path:
    """Builds `<folder>/sleeping.mar`. A batch takes `fixed_ms` and `each_ms` for each request, a worker
    `loading_s` longer than its process does until it is ready."""
    archive = folder / "sleeping.mar"
    handler = HANDLER.format(loading_s=loading_s, fixed_s=fixed_ms / 1000, each_s=each_ms / 1000)
    manifest = MANIFEST | {
        "model": {"modelName": "sleeping", "handler": "sleeping.py", "modelVersion": "1.0"}
    }
    with zipfile.ZipFile(archive, "w") as mar:
        mar.writestr("sleeping.py", handler)
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
    return archive
