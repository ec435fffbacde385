"""The real archives behind a real TorchServe: what clients send, and that the answers are the model's."""

import base64
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BertForSequenceClassification,
    ResNetForImageClassification,
)

from experiments.bench.inputs import photographs, texts
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from handlers.archive.archives import build
from tests.support.bodies import png_of_zeros
from tests.support.checkpoints import tiny_bert, tiny_resnet

pytestmark = pytest.mark.integration

BATCH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    with torchserve() as running:
        yield running


@pytest.fixture(scope="class")
def bert(server: TorchServe, folder: Path) -> Iterator[Path]:
    checkpoint = tiny_bert(folder / "bert")
    server.register(Registration(build("text", checkpoint, folder, trial=False), 1, BATCH, batch_delay_ms=50))
    yield checkpoint
    server.unregister()


@pytest.fixture(scope="class")
def resnet(server: TorchServe, folder: Path) -> Iterator[Path]:
    checkpoint = tiny_resnet(folder / "resnet")
    server.register(
        Registration(build("image", checkpoint, folder, trial=False), 1, BATCH, batch_delay_ms=50)
    )
    yield checkpoint
    server.unregister()


def post(server: TorchServe, body: bytes, content_type: str) -> requests.Response:
    headers = server.headers | {"Content-Type": content_type}
    return requests.post(server.predict_url, data=body, headers=headers, timeout=30)


def post_all(
    server: TorchServe, bodies: list[tuple[bytes, str]], connections: int | None = None
) -> list[requests.Response]:
    """All at the same time, or so many, so that TorchServe makes batches of them."""
    with ThreadPoolExecutor(connections or len(bodies)) as threads:
        return list(threads.map(lambda body: post(server, *body), bodies))


def curl(server: TorchServe, *options: str) -> Any:
    """What curl prints, as a user would call it."""
    header = f"Authorization: {server.headers['Authorization']}"
    command = ["curl", "-s", "-H", header, server.predict_url, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


class TestBert:
    def test_served_probabilities_are_those_of_a_direct_forward_pass(
        self, server: TorchServe, bert: Path
    ) -> None:
        sent = texts()[: 2 * BATCH]
        answers = post_all(server, [(text.encode(), "text/plain; charset=utf-8") for text in sent])
        assert {answer.status_code for answer in answers} == {200}
        for text, answer in zip(sent, answers, strict=True):
            expected = direct_text(bert, text)
            served = by_label(answer.json())
            assert served == pytest.approx(expected, abs=1e-5)
            assert list(served.values()) == sorted(served.values(), reverse=True)

    def test_every_way_to_send_a_text_gives_the_same_answer(
        self, server: TorchServe, bert: Path, tmp_path: Path
    ) -> None:
        text = "The kettle is quiet and pours well."
        file = tmp_path / "text.txt"
        file.write_text(text)
        expected = curl(server, "-H", "Content-Type: text/plain", "-d", text)
        assert curl(server, "-T", str(file)) == expected
        assert curl(server, "-d", f"data={text}") == expected
        assert curl(server, "--data-urlencode", f"data={text}") == expected
        assert curl(server, "-F", f"data=@{file}") == expected
        as_json = ("-H", "Content-Type: application/json", "-d")
        assert curl(server, *as_json, json.dumps({"data": text})) == expected
        for entry in curl(server, *as_json, json.dumps({"data": [text, text]})):
            assert by_label(entry) == pytest.approx(by_label(expected), abs=1e-5)
        assert curl(server, *as_json, json.dumps({"instances": [text]})) == {"predictions": [expected]}

    def test_a_pair_is_read_as_a_pair_among_single_texts(self, server: TorchServe, bert: Path) -> None:
        pair = {"text": "Is it quiet?", "text_pair": "It boils without a sound."}
        bodies = [
            (json.dumps(pair).encode(), "application/json"),
            (json.dumps({"instances": [pair]}).encode(), "application/json"),
            (b"Is it quiet?", "text/plain"),
        ]
        single, listed, alone = (answer.json() for answer in post_all(server, bodies))
        expected = direct_text(bert, pair["text"], pair["text_pair"])
        assert by_label(single) == pytest.approx(expected, abs=1e-5)
        assert by_label(listed["predictions"][0]) == pytest.approx(expected, abs=1e-5)
        assert by_label(alone) == pytest.approx(direct_text(bert, pair["text"]), abs=1e-5)
        assert by_label(alone) != pytest.approx(expected, abs=1e-3)

    def test_bad_requests_get_their_reason_and_the_others_their_predictions(
        self, server: TorchServe, bert: Path
    ) -> None:
        good = (b"A pleasant surprise.", "text/plain")
        bad = [
            (b"", "text/plain"),
            (b"\xff\xfe\x00", "text/plain"),
            (b"x" * 100_000, "text/plain"),
            (b'{"data": 5}', "application/json"),
        ]
        answers = post_all(server, [good, *bad, good, good, good])
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200, 400, 415, 413, 400, 200, 200, 200]
        for answer in answers[1:5]:
            assert answer.json()["message"]
        assert by_label(answers[0].json()) == pytest.approx(by_label(answers[-1].json()), abs=1e-5)

    def test_bad_input_among_many_requests_disturbs_nobody(self, server: TorchServe, bert: Path) -> None:
        good = [(text.encode(), "text/plain; charset=utf-8") for text in texts()] * 8
        bad = {
            (b"", "text/plain"): 400,
            (b"caf\xe9", "text/plain"): 415,
            (b"a" * 10_000_000, "text/plain"): 413,
            (b'{"data": "' + b"a" * 10_000_000 + b'"}', "application/json"): 413,
        }
        assert_bad_disturbs_nobody(server, good, bad)


class TestResNet50:
    def test_served_probabilities_are_those_of_a_direct_forward_pass(
        self, server: TorchServe, resnet: Path
    ) -> None:
        sent = photographs() * 2
        answers = post_all(server, [(photo, "image/jpeg") for photo in sent])
        assert {answer.status_code for answer in answers} == {200}
        for photo, answer in zip(sent, answers, strict=True):
            expected = direct_image(resnet, photo)
            for entry in answer.json():
                assert entry["probability"] == pytest.approx(expected[entry["label"]], abs=1e-5)
            assert len(answer.json()) == 5

    def test_every_way_to_send_an_image_gives_the_same_answer(
        self, server: TorchServe, resnet: Path, tmp_path: Path
    ) -> None:
        photo = photographs()[0]
        file = tmp_path / "photo.jpg"
        file.write_bytes(photo)
        expected = curl(server, "-T", str(file))
        assert curl(server, "-F", f"data=@{file}") == expected
        assert curl(server, "-H", "Content-Type: image/jpeg", "--data-binary", f"@{file}") == expected
        body = tmp_path / "body.json"
        body.write_text(json.dumps({"data": base64.b64encode(photo).decode()}))
        assert curl(server, "-H", "Content-Type: application/json", "--data-binary", f"@{body}") == expected

    def test_bad_requests_get_their_reason_and_the_others_their_predictions(
        self, server: TorchServe, resnet: Path
    ) -> None:
        photo = photographs()[0]
        bad = [b"", b"\x89 no image", photo[:5000]]
        answers = post_all(server, [(body, "image/jpeg") for body in [photo, *bad, photo]])
        assert [answer.status_code for answer in answers] == [200, 400, 415, 415, 200]

    def test_bad_input_among_many_requests_disturbs_nobody(self, server: TorchServe, resnet: Path) -> None:
        good = [(photo, "image/jpeg") for photo in photographs()] * 30
        photo = photographs()[0]
        bad = {
            (b"", "image/jpeg"): 400,
            (photo[: len(photo) // 2], "image/jpeg"): 415,
            (png_of_zeros(30_000, 30_000), "image/png"): 413,
            (bytes(25_000_000), "image/jpeg"): 413,
        }
        assert_bad_disturbs_nobody(server, good, bad)


def assert_bad_disturbs_nobody(
    server: TorchServe, good: list[tuple[bytes, str]], bad: dict[tuple[bytes, str], int]
) -> None:
    """Each bad body, twice, in the midst of good ones: its own status, and the worker as it was before."""
    [worker] = server.workers()
    requests_sent = list(good)
    for number, body in enumerate([*bad, *bad]):
        requests_sent.insert((number + 1) * len(good) // (2 * len(bad) + 1), body)
    post_all(server, good[:BATCH])
    before_bytes = psutil.Process(worker.pid).memory_info().rss
    answers = post_all(server, requests_sent, connections=2 * BATCH)
    assert [answer.status_code for answer in answers] == [bad.get(body, 200) for body in requests_sent]
    assert [found.pid for found in server.workers()] == [worker.pid]
    # TorchServe hands a batch over as a whole: it holds the bodies that are not too large, but of one batch.
    held_bytes = psutil.Process(worker.pid).memory_info().rss - before_bytes
    assert held_bytes < BATCH * max(len(body) for body, _ in bad)


def by_label(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {entry["label"]: entry["probability"] for entry in answer}


def direct_text(checkpoint: Path, *text: str) -> dict[str, float]:
    """Label -> probability of a text, or of a pair, from transformers alone."""
    model = BertForSequenceClassification.from_pretrained(checkpoint).eval()
    tokens = AutoTokenizer.from_pretrained(checkpoint)(*text, truncation=True, return_tensors="pt")
    return _probabilities(model, tokens)


def direct_image(checkpoint: Path, photo: bytes) -> dict[str, float]:
    """Label -> probability from transformers alone, its slow image processor included."""
    import io

    from PIL import Image

    model = ResNetForImageClassification.from_pretrained(checkpoint).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint, use_fast=False)
    return _probabilities(model, processor(Image.open(io.BytesIO(photo)), return_tensors="pt"))


def _probabilities(model: Any, inputs: Any) -> dict[str, float]:
    with torch.inference_mode():
        row = torch.softmax(model(**inputs).logits, dim=-1)[0].tolist()
    return {model.config.id2label[i]: probability for i, probability in enumerate(row)}
