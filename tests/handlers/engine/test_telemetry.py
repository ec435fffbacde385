"""An engine tells nobody what it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base.paths import ROOT
from tests.support.engines import needs_engines


@needs_engines
@pytest.mark.thorough
def test_onnx_runtime_leaves_neither_an_identifier_nor_events_behind(tmp_path: Path) -> None:
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", "import handlers.engine.onnx_runtime"]
    subprocess.run(command, cwd=ROOT, env=environment | own, check=True)
    assert list(tmp_path.iterdir()) == []
