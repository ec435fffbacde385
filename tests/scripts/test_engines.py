"""`make setup ENGINES=`: what pip is given."""

import subprocess
import sys

from experiments.base.paths import ROOT


def asked(names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/engines.py", names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_each_package_is_pinned_and_named_once() -> None:
    wanted = asked("onnxruntime,openvino").stdout.split()
    names = [one.split("==")[0] for one in wanted]
    assert sorted(names) == ["onnx", "onnxruntime", "onnxscript", "openvino"]
    assert all("==" in one for one in wanted)


def test_an_engine_that_there_is_not_is_refused() -> None:
    done = asked("onnxruntime,tensorrt")
    assert done.returncode == 1
    assert done.stderr.endswith("there is no tensorrt to install: choose of onnxruntime, openvino, ray\n")
