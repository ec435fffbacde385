"""Requests that are easily misread, against a real server; and mutated ones, each answer judged."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from tests.fuzz_requests.against import Model, fuzz, served

pytestmark = pytest.mark.integration

REQUESTS = 150  # of each kind
SEED = 7


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    with torchserve() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("requests")


@pytest.mark.parametrize("kind", ["text", "image"])
def test_answers_are_what_a_reader_of_the_documented_formats_expects(
    server: TorchServe, folder: Path, kind: Literal["text", "image"]
) -> None:
    model = Model(kind, folder / kind)
    with served(server, model, folder):
        found = fuzz(server, model, REQUESTS, SEED)
    assert found.wrong == []
    assert found.statuses[200] > REQUESTS // 5


@pytest.fixture(scope="class")
def _bert(server: TorchServe, folder: Path) -> Iterator[None]:
    with served(server, Model("text", folder / "bert"), folder):
        yield


@pytest.mark.usefixtures("_bert")
class TestTexts:
    @pytest.mark.wide
    def test_two_parts_of_one_name_get_no_answer(self, server: TorchServe, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).write_text(name)
        answer = curl(server, "-F", f"data=@{tmp_path}/a", "-F", f"data=@{tmp_path}/b")
        assert answer["code"] == 400
        assert "'data'" in answer["message"]

    @pytest.mark.parametrize(
        "declared", ["Application/JSON", "application/vnd.api+json; charset=utf-8", "text/plain"]
    )
    def test_a_list_is_a_list(self, server: TorchServe, declared: str) -> None:
        assert len(curl(server, "-H", f"Content-Type: {declared}", "-d", '["a", "b"]')) == 2

    @pytest.mark.parametrize("name", ["top_k", "parameters", "text_pair"])
    def test_what_is_not_known_is_named(self, server: TorchServe, name: str) -> None:
        body = json.dumps({"inputs": "a", name: 1})
        for options in (("-H", "Content-Type: application/json", "-d", body), ("-d", f"data=a&{name}=1")):
            answer = curl(server, *options)
            assert answer["code"] == 400
            assert name in answer["message"]

    def test_a_charset_is_heeded(self, server: TorchServe, tmp_path: Path) -> None:
        expected = curl(server, "-H", "Content-Type: text/plain", "-d", "café")
        file = tmp_path / "text"
        file.write_bytes("café".encode("latin-1"))
        plain = ("-H", "Content-Type: text/plain; charset=iso-8859-1", "--data-binary", f"@{file}")
        form = ("-H", "Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1", "-d")
        assert curl(server, *plain) == curl(server, *form, "data=caf%E9") == expected

    def test_what_is_packed_is_not_read(self, server: TorchServe, tmp_path: Path) -> None:
        file = tmp_path / "text.gz"
        file.write_bytes(gzip.compress(b"a good film"))
        answer = curl(server, "-H", "Content-Encoding: gzip", "-T", str(file))
        assert answer["code"] == 415
        assert "'gzip'" in answer["message"]

    def test_an_image_is_no_text_whatever_its_bytes(self, server: TorchServe) -> None:
        answer = curl(server, "-H", "Content-Type: image/jpeg", "-d", "a good film")
        assert answer["code"] == 415
        assert "image/jpeg" in answer["message"]

    def test_explanations_are_not_served(self, server: TorchServe) -> None:
        plain = ("-H", "Content-Type: text/plain", "-d", "a good film")
        host, _, model = server.predict_url.partition("/predictions/")
        for url in (f"{host}/explanations/{model}", f"{host}/v1/models/{model}:explain"):
            answer = curl(server, *plain, url=url)
            assert answer["code"] == 501
            assert "explanations are not served" in answer["message"]


def curl(server: TorchServe, *options: str, url: str = "") -> Any:
    """What curl prints, as a user would call it."""
    header = f"Authorization: {server.headers['Authorization']}"
    command = ["curl", "-s", "-H", header, url or server.predict_url, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)
