"""torch.compile for real: the same answers, and nothing is compiled once the handler is loaded."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from handlers.bert import BertHandler
from handlers.embeddings import EmbeddingsHandler
from handlers.resnet50 import ResNet50Handler
from tests.support.checkpoints import tiny_bert, tiny_encoder, tiny_resnet
from tests.support.worker import a_context

pytestmark = [
    pytest.mark.wide,
    pytest.mark.integration,
    pytest.mark.xdist_group("compiled"),  # torch's compiler takes its time to import: once is enough
    pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile on a CPU needs g++"),
]

TEXTS = ["so good " * repeats for repeats in (1, 2, 5, 20)] + ["rain " * 200]


def compiled_graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.fixture(autouse=True)
def _from_scratch() -> None:
    torch._dynamo.reset()


def test_bert_is_compiled_at_load_and_never_again(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path)
    plain, fast = BertHandler(), BertHandler()
    plain.initialize(a_context(folder, "text"))
    shapes = {"batch_sizes": [1, 4], "lengths": [16, 64]}
    fast.initialize(a_context(folder, "text", compile="torch_compile", shapes=shapes))
    before = compiled_graphs()
    for count in range(1, len(TEXTS) + 1):
        expected = plain.forward(plain.preprocess(TEXTS[:count]))
        found = fast.forward(fast.preprocess(TEXTS[:count]))
        assert (found - expected).abs().max() < 1e-5
    assert compiled_graphs() == before > 0


def test_embeddings_are_compiled_at_load_and_never_again(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    plain, fast = EmbeddingsHandler(), EmbeddingsHandler()
    plain.initialize(a_context(folder, "embedding"))
    shapes = {"batch_sizes": [1, 4], "lengths": [16, 64]}
    fast.initialize(a_context(folder, "embedding", compile="torch_compile", shapes=shapes))
    before = compiled_graphs()
    for count in range(1, len(TEXTS) + 1):
        assert (fast.predict(TEXTS[:count]) - plain.predict(TEXTS[:count])).abs().max() < 1e-5
    assert compiled_graphs() == before > 0


def test_resnet50_is_compiled_at_load_and_never_again(tmp_path: Path) -> None:
    folder = tiny_resnet(tmp_path, edge=64, stages=(8, 16))  # g++ takes seconds for each stage
    plain, fast = ResNet50Handler(), ResNet50Handler()
    plain.initialize(a_context(folder, "image"))
    fast.initialize(a_context(folder, "image", compile="torch_compile", shapes={"batch_sizes": [1, 4]}))
    images = list(np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8))
    before = compiled_graphs()
    for count in range(1, len(images) + 1):
        expected = plain.forward(plain.preprocess(images[:count]))
        found = fast.forward(fast.preprocess(images[:count]))
        assert (found - expected).abs().max() < 1e-5
    assert compiled_graphs() == before > 0
