"""The handlers on each engine, driven as a TorchServe worker drives them: the answers are those of torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.families.checkpoints import classifier
from handlers.archive.archives import HERE
from handlers.bert import BertHandler
from handlers.embeddings import EmbeddingsHandler
from handlers.engine.names import EngineError
from handlers.model.devices import DeviceError
from handlers.resnet50 import ResNet50Handler
from tests.support.bodies import TEXTS
from tests.support.checkpoints import tiny_bert, tiny_encoder, tiny_resnet
from tests.support.engines import needs_engines
from tests.support.worker import a_context, handle

pytestmark = pytest.mark.wide  # its models are exported for the engines

PRECISIONS = [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "bf16")]
EXACT = [(engine, precision) for engine, precision in PRECISIONS if precision == "fp32"]
APART = {"fp32": 1e-5, "bf16": 3e-2, "int8": 1e-1}
HANDLERS = {"text": BertHandler, "embedding": EmbeddingsHandler, "image": ResNet50Handler}

# Of many lengths, so that a batch is padded, or takes several passes.
MANY = [*TEXTS, *("so good " * repeats for repeats in (1, 2, 5, 20)), "rain " * 200]


def with_graphs(kind: str, folder: Path) -> Path:
    from handlers.archive.engines.exported import export

    export(kind, folder, int8=True)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_graphs("text", tiny_bert(tmp_path_factory.mktemp("bert"), spread=0.2))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_graphs("embedding", tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_graphs("image", tiny_resnet(tmp_path_factory.mktemp("resnet"), edge=64, decision=20))


def a_handler(kind: Any, folder: Path, **settings: Any) -> tuple[Any, Any]:
    handler, context = HANDLERS[kind](), a_context(folder, kind, **settings)
    handler.initialize(context)
    return handler, context


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    assert one.dtype == torch.float32
    return float((one - other).abs().max())


@needs_engines
class TestAnswers:
    @pytest.mark.parametrize(("engine", "precision"), PRECISIONS)
    def test_of_bert_are_those_of_torch(self, bert: Path, engine: str, precision: str) -> None:
        plain, _ = a_handler("text", bert, tuned=False)
        handler, _ = a_handler("text", bert, engine=engine, precision=precision)
        for count in (1, 2, len(MANY)):
            expected = plain.forward(plain.preprocess(MANY[:count]))
            assert apart(handler.forward(handler.preprocess(MANY[:count])), expected) < APART[precision]

    @pytest.mark.parametrize(("engine", "precision"), EXACT)
    @pytest.mark.parametrize("pad_to_multiple_of", [1, 8])
    def test_of_pairs_are_those_of_torch(
        self, bert: Path, engine: str, precision: str, pad_to_multiple_of: int
    ) -> None:
        pairs = [("It rains.", "Is it wet?"), "It rains.", ("so good " * 50, "rain " * 30)]
        plain, _ = a_handler("text", bert, tuned=False)
        handler, _ = a_handler("text", bert, engine=engine, pad_to_multiple_of=pad_to_multiple_of)
        expected = plain.forward(plain.preprocess(pairs))
        assert apart(handler.forward(handler.preprocess(pairs)), expected) < 1e-5

    @pytest.mark.parametrize(("engine", "precision"), PRECISIONS)
    def test_of_embeddings_are_those_of_torch(self, encoder: Path, engine: str, precision: str) -> None:
        plain, _ = a_handler("embedding", encoder, tuned=False)
        handler, _ = a_handler("embedding", encoder, engine=engine, precision=precision)
        assert apart(handler.predict(MANY), plain.predict(MANY)) < APART[precision]

    @pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken"])
    def test_of_embeddings_are_pooled_as_the_yaml_says(self, encoder: Path, pooling: str) -> None:
        plain, _ = a_handler("embedding", encoder, tuned=False, pooling=pooling)
        handler, _ = a_handler("embedding", encoder, engine="onnxruntime", pooling=pooling)
        assert apart(handler.predict(MANY), plain.predict(MANY)) < 1e-5

    @pytest.mark.parametrize(("engine", "precision"), PRECISIONS)
    def test_of_resnet50_are_those_of_torch(self, resnet: Path, engine: str, precision: str) -> None:
        plain, _ = a_handler("image", resnet, tuned=False)
        handler, _ = a_handler("image", resnet, engine=engine, precision=precision)
        images = list(np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8))
        for count in (1, len(images)):
            expected = plain.forward(plain.preprocess(images[:count]))
            assert apart(handler.forward(handler.preprocess(images[:count])), expected) < APART[precision]

    @pytest.mark.parametrize("family", ["distilbert", "roberta"])
    def test_of_other_families_are_those_of_torch(self, tmp_path: Path, family: str) -> None:
        folder = with_graphs("text", classifier(family, tmp_path / "checkpoint"))
        plain, _ = a_handler("text", folder, tuned=False)
        expected = plain.forward(plain.preprocess(MANY))
        for engine, _ in EXACT:
            handler, _ = a_handler("text", folder, engine=engine)
            assert apart(handler.forward(handler.preprocess(MANY)), expected) < 1e-5

    @pytest.mark.parametrize(("engine", "precision"), EXACT)
    def test_to_bad_requests_are_what_torch_gives(self, bert: Path, engine: str, precision: str) -> None:
        rows: list[dict[str, object]] = [{"body": TEXTS[0]}, {"body": b"\xff"}, {"body": {"texts": 1}}, {}]
        plain, context = a_handler("text", bert)
        expected = handle(plain, context, rows)
        handler, context = a_handler("text", bert, engine=engine)
        found = handle(handler, context, rows)
        assert [status for status, _ in found] == [status for status, _ in expected] == [200, 415, 400, 400]
        assert found[1:] == expected[1:]


@needs_engines
class TestARefusal:
    def test_names_the_file_that_is_missing(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path)
        with pytest.raises(EngineError, match=r"holds no model.onnx.*make mar ENGINE=openvino"):
            a_handler("text", folder, engine="openvino")

    @pytest.mark.parametrize(("engine", "precision"), EXACT)
    def test_of_a_damaged_file_is_one_line(self, tmp_path: Path, engine: str, precision: str) -> None:
        folder = tiny_bert(tmp_path)
        (folder / "model.onnx").write_bytes(b"no graph")
        with pytest.raises(EngineError, match=rf"{engine} can't run model.onnx: .*make mar") as refused:
            a_handler("text", folder, engine=engine)
        assert "\n" not in str(refused.value)


def test_a_worker_on_a_gpu_does_not_serve_with_an_engine_for_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.model.runtime.device_of", lambda gpu_id: torch.device("meta"))
    monkeypatch.setattr("handlers.model.runtime.tell_multiprocessors", lambda count: None)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda device: type("A card", (), {"multi_processor_count": 1})
    )
    with pytest.raises(DeviceError, match="openvino runs on CPUs here"):
        a_handler("text", tiny_bert(tmp_path), engine="openvino")


def test_a_worker_on_torch_imports_no_engine(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path)
    program = (
        "import sys; from pathlib import Path; from handlers.bert import BertHandler;"
        "from tests.support.worker import a_context;"
        f"BertHandler().initialize(a_context(Path({str(folder)!r}), 'text'));"
        "print([name for name in ('onnx', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
