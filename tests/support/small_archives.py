"""Builders of real but tiny archives, made by torch-model-archiver from a few lines of handler code."""

import os
import subprocess
import sys
from pathlib import Path

from experiments.base.paths import ROOT

NOOP = """
def handle(rows, context):
    return rows and ["ok"] * len(rows)
"""

RAISES_AT_LOAD = """
def handle(rows, context):
    raise ValueError("the weights are not there")
"""

RAISES_AT_REQUEST = """
def handle(rows, context):
    if rows:
        raise ValueError("no answer to this")
"""

DIES_AT_REQUEST = """
import os
def handle(rows, context):
    if rows:
        os._exit(3)
"""

# Answers for a while, then dies once: a file in the temporary folder of the instance remembers it.
DIES_ONCE = """
import os, pathlib, tempfile
served = 0
mark = pathlib.Path(tempfile.gettempdir()) / "died"
def handle(rows, context):
    global served
    served += len(rows or [])
    if served > 200 and not mark.exists():
        mark.touch()
        os._exit(3)
    return rows and ["ok"] * len(rows)
"""

# Is killed as it loads, once: the file MARK remembers it.
KILLED_AS_IT_LOADS = """
import os, pathlib, signal
mark = pathlib.Path({mark!r})
if not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
def handle(rows, context):
    return rows and ["ok"] * len(rows)
"""

# Serves 20 requests; then its GPU fails as torch tells of it: that call raises, and all later ones do.
CUDA_FAULT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import torch
from handlers.model.lost import ending_with_its_context
served = 0
def fault(*_, **__):
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
torch.zeros = torch.cuda.synchronize = fault
def handle(rows, context):
    global served
    served += len(rows or [])
    with ending_with_its_context(torch.device("cuda", 0)):
        return fault() if served > 20 else rows and ["ok"] * len(rows)
"""

# Tells, as our handlers do on a GPU, of more multiprocessors than a share leaves.
SEES_132 = """
import os, pathlib, tempfile
(pathlib.Path(tempfile.gettempdir()) / f"{os.getpid()}.multiprocessors").write_text("132")
def handle(rows, context):
    return rows and ["ok"] * len(rows)
"""

SLEEPS = """
import time
def handle(rows, context):
    if rows:
        time.sleep(0.02)
    return rows and ["ok"] * len(rows)
"""

# What many a handler of one's own does: it looks into a form's field, or JSON's, and nowhere else.
READS_A_FIELD = """
def handle(rows, context):
    for index, row in enumerate(rows or []):
        body = row.get("body")
        data = row.get("data") or (body.get("data") if isinstance(body, dict) else None)
        if not data:
            context.set_response_status(400, "Bad Request", index)
    return rows and ["ok"] * len(rows)
"""


def archive(folder: Path, name: str, handler: str, config: str | None = None) -> Path:
    """`<folder>/<name>.mar` with the source `handler`, and `config` as its model-config.yaml."""
    sources = folder / f"{name}-sources"
    sources.mkdir(parents=True)
    (sources / "service.py").write_text(handler)
    options = ["--model-name", name, "--version", "1", "--handler", str(sources / "service.py")]
    if config is not None:
        (sources / "model-config.yaml").write_text(config)
        options += ["--config-file", str(sources / "model-config.yaml")]
    program = str(Path(sys.executable).parent / "torch-model-archiver")
    environment = os.environ | {"TMPDIR": str(sources)}
    subprocess.run([program, *options, "--export-path", str(folder)], check=True, env=environment)
    return folder / f"{name}.mar"
