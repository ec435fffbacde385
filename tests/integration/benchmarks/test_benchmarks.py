"""What the benchmarks compare is comparable: the stock handlers answer as ours do, from the same weights; and
malformed requests beside a load get what they deserve."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from PIL import Image
from transformers import ResNetForImageClassification

from benchmarks import bad_input, stock
from benchmarks.parts import served, stock_image
from benchmarks.parts.interleaved import Effort
from benchmarks.parts.models import photographs, texts, with_handler
from benchmarks.parts.served import Setup
from experiments.load import Body
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert, tiny_resnet

pytestmark = [pytest.mark.integration, pytest.mark.wide]

BRIEF = Effort(rounds=1, duration_s=0.5, warm_up_s=0.2, trial_s=0.3)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a classifier that takes the 150 tokens to which the stock handler pads."""
    folder = tmp_path_factory.mktemp("bert")
    return build("text", tiny_bert(folder / "checkpoint", max_tokens=160), folder, trial=False)


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    with torchserve(env={"OMP_NUM_THREADS": "1"}) as running:
        yield running


@contextmanager
def serving(server: TorchServe, archive: Path) -> Iterator[None]:
    server.register(Registration(archive, workers=1, batch_size=4))
    yield
    server.unregister()


def answer(server: TorchServe, body: Body) -> requests.Response:
    headers = server.headers | {"Content-Type": body.content_type}
    return requests.post(server.predict_url, data=body.data, headers=headers, timeout=30)


def test_the_stock_text_handler_answers_our_most_probable_label(server: TorchServe, bert: Path) -> None:
    pool = texts(bert, 15)
    with serving(server, bert):
        ours = [answer(server, body).json()[0]["label"] for body in pool]
    with serving(server, with_handler(bert, stock.HERE / "stock_text.py")):
        theirs = [answer(server, body).text for body in pool]
    assert theirs == ours
    assert len(set(ours)) > 1


def test_the_stock_image_handler_answers_the_models_five_labels(server: TorchServe, tmp_path: Path) -> None:
    ours = build("image", tiny_resnet(tmp_path / "checkpoint"), tmp_path, trial=False)
    photograph = photographs(500, 375)[0]
    with serving(server, with_handler(ours, stock.HERE / "stock_image.py")):
        found: dict[str, Any] = answer(server, photograph).json()
    assert len(found) == stock_image.TOP_K
    assert found == pytest.approx(by_hand(tmp_path / "checkpoint", photograph), abs=1e-5)


def by_hand(checkpoint: Path, photograph: Body) -> dict[str, float]:
    """The five most probable labels by the transforms and the model alone."""
    model = ResNetForImageClassification.from_pretrained(checkpoint).eval()
    image = stock_image.crop_middle(stock_image.scale(Image.open(BytesIO(photograph.data))))
    with torch.inference_mode():
        logits = model(stock_image.normalise(stock_image.to_tensor(image))[None]).logits
    values, indices = torch.softmax(logits[0], dim=0).topk(stock_image.TOP_K)
    return {model.config.id2label[int(i)]: float(v) for i, v in zip(indices, values, strict=True)}


def test_malformed_texts_beside_a_load_get_their_4xx_and_cost_no_good_answer(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "SETTLING_S", 0.2)
    monkeypatch.setattr(served, "UNCOUNTED", 0.2)
    told: list[str] = []
    case = bad_input.Case("bad", "text", Setup(bert, 1, 4), texts(bert, 15))
    comparison = bad_input.beside_malformed(case, BRIEF, told.append)
    assert comparison.ratio > 0
    assert "malformed requests got their 4xx" in told[-1]
