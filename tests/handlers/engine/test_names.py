"""Which engine has which precision, what it needs of an archive, and what is said where that is missing."""

import pytest

from handlers.engine.names import ENGINES, file_of, why_no_file, why_no_such_precision, why_not_installed


@pytest.mark.parametrize(
    ("engine", "precision", "file"),
    [
        ("torch", "bf16", None),
        ("torch-compile", "fp32", None),
        ("onnxruntime", "fp32", "model.onnx"),
        ("onnxruntime", "int8", "model.int8.onnx"),
        ("openvino", "bf16", "model.onnx"),
    ],
)
def test_an_engine_reads_one_file_or_none(engine: str, precision: str, file: str | None) -> None:
    assert file_of(engine, precision) == file
    assert why_no_such_precision(engine, precision) is None


@pytest.mark.parametrize(
    ("engine", "precision", "remedy"),
    [
        ("torch", "int8", "torch has no int8: choose one of fp32, tf32, fp16, bf16"),
        ("onnxruntime", "bf16", "onnxruntime has no bf16: choose one of fp32, int8"),
        ("openvino", "fp16", "openvino has no fp16: choose one of fp32, bf16"),
    ],
)
def test_a_precision_that_an_engine_lacks_is_named_with_those_it_has(
    engine: str, precision: str, remedy: str
) -> None:
    assert why_no_such_precision(engine, precision) == remedy


def test_an_archive_without_the_file_is_told_how_to_get_it() -> None:
    held = ["model.safetensors", "model.onnx"]
    assert why_no_file("torch", "fp32", held) is None
    assert why_no_file("openvino", "fp32", held) is None
    told = why_no_file("onnxruntime", "int8", held)
    assert told is not None
    assert told.endswith("make mar ENGINE=onnxruntime PRECISION=int8")


def test_torch_is_everywhere_and_tensorrt_nowhere() -> None:
    assert why_not_installed("torch") is why_not_installed("torch-compile") is None
    assert "NVIDIA GPU" in str(why_not_installed("tensorrt"))
    assert ENGINES[0] == "torch"
