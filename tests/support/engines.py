"""Tests that need an engine beside torch are skipped where it isn't installed, and say what installs it."""

from importlib.util import find_spec

import pytest

NEEDS = ("onnx", "onnxscript", "onnxruntime", "openvino")
MISSING = [name for name in NEEDS if not find_spec(name)]

needs_engines = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)} here: make setup ENGINES=onnxruntime,openvino"
)
