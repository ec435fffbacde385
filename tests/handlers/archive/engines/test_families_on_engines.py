"""Models of other families on other engines: an archive built with them tells how far they are off."""

from pathlib import Path

import pytest

from benchmarks.families.checkpoints import classifier
from handlers.archive.archives import Kind, build
from handlers.archive.engines.asked import Engines
from handlers.archive.parity.measured import read_parity
from tests.support.checkpoints import tiny_encoder, tiny_resnet
from tests.support.engines import needs_engines

# In half precision these weights, drawn to be told apart, may be off by more than is taken.
BOTH = Engines(("onnxruntime", "openvino"), accept_parity=True)


def off_in_fp32(kind: Kind, checkpoint: Path, folder: Path) -> dict[str, float]:
    """The largest difference from torch by engine."""
    found = read_parity(build(kind, checkpoint, folder, engines=BOTH))
    return {one.engine: one.decides for one in found if one.precision == "fp32"}


@pytest.mark.wide
@needs_engines
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_classifiers_of_texts(family: str, tmp_path: Path) -> None:
    off = off_in_fp32("text", classifier(family, tmp_path / "checkpoint"), tmp_path)
    assert off.keys() == {"onnxruntime", "openvino"}
    assert max(off.values()) < 1e-5


@pytest.mark.wide
@needs_engines
@pytest.mark.usefixtures("forked")
def test_a_sentence_model(tmp_path: Path) -> None:
    off = off_in_fp32("embedding", tiny_encoder(tmp_path / "checkpoint"), tmp_path)
    assert off.keys() == {"onnxruntime", "openvino"}
    assert max(off.values()) < 1e-5


@pytest.mark.wide
@needs_engines
@pytest.mark.usefixtures("forked")
def test_a_classifier_of_images(tmp_path: Path) -> None:
    off = off_in_fp32("image", tiny_resnet(tmp_path / "checkpoint"), tmp_path)
    assert off.keys() == {"onnxruntime", "openvino"}
    assert max(off.values()) < 1e-5
