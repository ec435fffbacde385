"""What strangers send under load: each refused with its own status before any work is done for it."""

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib import cbook
from PIL import Image

from handlers.bert import BertHandler
from handlers.image import pixels
from handlers.resnet50 import ResNet50Handler
from tests.support.bodies import png_of_zeros
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.worker import a_context, handle

PHOTOGRAPH = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes()
TEN_MEGABYTES = 10_000_000

BAD_TEXTS = [
    pytest.param(b"", "text/plain", 400, id="empty"),
    pytest.param(b" \n" * 50_000, "text/plain", 400, id="blank and long"),
    pytest.param(b"\xff\xfe\x00", "text/plain", 415, id="not UTF-8"),
    pytest.param(b"a" * TEN_MEGABYTES, "text/plain", 413, id="10 MB of text"),
    pytest.param(b'{"data": "' + b"a" * TEN_MEGABYTES + b'"}', "application/json", 413, id="10 MB of JSON"),
    pytest.param(b"[" * TEN_MEGABYTES, "application/json", 413, id="10 MB of brackets"),
    pytest.param(b"[" * 1_000_000, "application/json", 400, id="deep JSON"),
    pytest.param(b'{"data": ["' + b'","'.join([b"a"] * 40) + b'"]}', "application/json", 413, id="many"),
]


def as_torchserve_hands_over(cases: list[Any]) -> list[Any]:
    """Bodies as bytearrays, made before memory is watched."""
    return [pytest.param(bytearray(case.values[0]), *case.values[1:], id=case.id) for case in cases]


BAD_IMAGES = [
    pytest.param(b"", 400, id="empty"),
    pytest.param(b"no image, but text!", 415, id="text"),
    pytest.param(png_of_zeros(30_000, 30_000), 413, id="a bomb, 30,000 pixels wide"),
    pytest.param(png_of_zeros(30_000, 1_000), 413, id="a strip, 30,000 pixels wide"),
    pytest.param(png_of_zeros(2_000_000_000, 2_000_000_000), 413, id="more pixels than Pillow counts"),
    pytest.param(bytes(50_000_000), 413, id="50 MB of zeros"),
    pytest.param(b"A" * 50_000_000, 413, id="50 MB of base64"),
    pytest.param(PHOTOGRAPH[:100], 415, id="a truncated header"),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[BertHandler, Any]:
    handler, context = BertHandler(), a_context(tiny_bert(tmp_path_factory.mktemp("bert")), "text")
    handler.initialize(context)
    return handler, context


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResNet50Handler, Any]:
    handler, context = ResNet50Handler(), a_context(tiny_resnet(tmp_path_factory.mktemp("resnet")), "image")
    handler.initialize(context)
    return handler, context


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """The most bytes that Python held at a time since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


class TestTexts:
    @pytest.mark.parametrize(("body", "content_type", "status"), as_torchserve_hands_over(BAD_TEXTS))
    def test_are_refused_before_they_are_copied_or_parsed(
        self,
        bert: tuple[BertHandler, Any],
        body: bytearray,
        content_type: str,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        allocated: Callable[[], int],
    ) -> None:
        handler, context = bert
        monkeypatch.setattr(BertHandler, "preprocess", lambda *_: pytest.fail("tokenized"))
        [(found, answer)] = handle(handler, context, [{"body": body}], content_type)
        assert found == status
        assert len(answer["message"]) < 500
        assert allocated() < 3_000_000

    def test_do_not_disturb_a_good_one(self, bert: tuple[BertHandler, Any]) -> None:
        handler, context = bert
        [alone] = handle(handler, context, [{"body": b"a good film"}], "text/plain")
        bad = [{"body": bad.values[0]} for bad in BAD_TEXTS]
        answers = handle(handler, context, [*bad, {"body": b"a good film"}], "text/plain")
        assert answers[-1] == alone
        assert all(400 <= status < 500 for status, _ in answers[:-2])


class TestImages:
    @pytest.mark.parametrize(("body", "status"), as_torchserve_hands_over(BAD_IMAGES))
    def test_are_refused_before_they_are_decoded(
        self,
        resnet: tuple[ResNet50Handler, Any],
        body: bytearray,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        allocated: Callable[[], int],
    ) -> None:
        handler, context = resnet
        monkeypatch.setattr(pixels, "decode", lambda _: pytest.fail("decoded"))
        [(found, answer)] = handle(handler, context, [{"body": body}])
        assert found == status
        assert len(answer["message"]) < 500
        assert allocated() < 3_000_000

    def test_that_are_truncated_are_refused_for_what_they_lack(
        self, resnet: tuple[ResNet50Handler, Any]
    ) -> None:
        handler, context = resnet
        [(status, answer)] = handle(handler, context, [{"body": PHOTOGRAPH[:20_000]}])
        assert status == 415
        assert "damaged JPEG" in answer["message"]

    def test_do_not_disturb_a_good_one(self, resnet: tuple[ResNet50Handler, Any]) -> None:
        handler, context = resnet
        [alone] = handle(handler, context, [{"body": PHOTOGRAPH}])
        bad = [{"body": bad.values[0]} for bad in BAD_IMAGES]
        answers = handle(handler, context, [*bad, {"body": PHOTOGRAPH}, {"body": PHOTOGRAPH[:20_000]}])
        assert answers[-2][0] == 200
        assert json.dumps(answers[-2]) == json.dumps(alone)
        assert all(400 <= status < 500 for status, _ in [*answers[:-2], answers[-1]])

    @pytest.mark.thorough
    def test_of_a_fair_size_are_decoded_one_row_of_the_batch_at_a_time(
        self, resnet: tuple[ResNet50Handler, Any]
    ) -> None:
        """What stays of each image is the model's square, whatever it was."""
        handler, _ = resnet
        file = io.BytesIO()
        Image.new("RGB", (3000, 2000)).save(file, "PNG")
        assert handler.read_item(file.getvalue()).nbytes == 224 * 224 * 3
