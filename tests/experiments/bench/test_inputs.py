"""The pools of inputs that trials draw from."""

import io
import json
import os
from collections import Counter
from dataclasses import asdict
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tokenizers import Tokenizer

from experiments.base.errors import UsageError
from experiments.bench import pool_for
from experiments.bench.inputs import TEXT_WORDS, photographs, spread, texts, texts_of_tokens
from experiments.load import Body, styled
from experiments.plan import Plan, plan_from
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert


def test_texts_differ_and_come_in_every_length() -> None:
    assert {len(text.split()) for text in texts()} == set(TEXT_WORDS)
    assert len(set(texts())) == len(texts())


@pytest.mark.thorough
@pytest.mark.parametrize("tokens", [15, 60])
def test_texts_of_so_many_tokens_have_them_by_the_archives_own_tokenizer(tmp_path: Path, tokens: int) -> None:
    checkpoint = tiny_bert(tmp_path / "bert")
    archive = build("text", checkpoint, tmp_path, trial=False)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_truncation()
    lengths = {len(tokenizer.encode(text).ids) for text in texts_of_tokens(archive, tokens)}
    assert lengths == {tokens}


def test_photographs_are_real_jpegs() -> None:
    sizes = [Image.open(io.BytesIO(photo)).size for photo in photographs()]
    assert sizes[0] == (512, 600)
    assert len(set(sizes)) == len(sizes)


def test_a_folder_of_inputs_is_taken_file_by_file_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.json").write_text('{"data": "two"}')
    pool = pool_for("unknown", str(tmp_path))
    assert [(body.data, body.content_type) for body in pool] == [
        (b"one", "text/plain"),
        (b'{"data": "two"}', "application/json"),
    ]


def test_hidden_files_and_sub_folders_are_no_inputs(tmp_path: Path) -> None:
    for name in (".DS_Store", ".gitkeep", "._a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.txt").write_text("c")
    assert [body.name for body in pool_for("unknown", str(tmp_path))] == ["b.txt"]


@pytest.mark.parametrize(
    ("what", "said"), [("nothing", "No such file"), ("hidden", "holds no file"), ("pipe", "neither")]
)
def test_what_holds_no_input_is_refused(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".gitkeep").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=said):
        pool_for("unknown", str(tmp_path / what))


def test_a_file_as_a_form_is_what_curl_uploads() -> None:
    sent = styled(Body(b"\xff\r\n--", "image/jpeg", 'a "b".jpg'), "form")
    head = f"Content-Type: {sent.content_type}\r\n\r\n".encode()
    (part,) = BytesParser(policy=HTTP).parsebytes(head + sent.data).iter_parts()
    assert part.get_payload(decode=True) == b"\xff\r\n--"
    assert part["Content-Type"] == "image/jpeg"
    assert part["Content-Disposition"] == 'form-data; name="data"; filename="a %22b%22.jpg"'


@pytest.mark.parametrize(
    ("file", "value"),
    [
        (Body("grün".encode(), "text/plain"), "grün"),
        (Body(b"", "text/plain"), ""),
        (Body(b"[1, 2]", "application/json"), [1, 2]),
        (Body(b"\xff\xd8", "image/jpeg"), "/9g="),
    ],
    ids=["text", "empty", "json", "bytes"],
)
def test_a_file_in_json_is_a_value_a_text_or_base64(file: Body, value: object) -> None:
    sent = styled(file, "json")
    assert (json.loads(sent.data), sent.content_type) == ({"data": value}, "application/json")


def test_a_file_that_is_not_the_json_it_says_is_named() -> None:
    with pytest.raises(ValueError, match=r"x.json is not JSON"):
        styled(Body(b"{", "application/json", "x.json"), "json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_as": "form"}, "give --input too"),
        ({"input": "x", "input_as": "xml"}, "must be one of body, form, json"),
    ],
)
def test_a_plan_says_how_ones_own_files_are_sent(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Plan(**options)
    assert plan_from(json.loads(json.dumps(asdict(Plan(input="x", input_as="json"))))).input_as == "json"


def test_of_a_large_folder_files_are_tried_from_end_to_end() -> None:
    bodies = [Body(b"", "text/plain", f"{number}") for number in range(1000)]
    tried = [int(body.name) for body in spread(bodies, 200)]
    assert (len(tried), tried[0], tried[-1]) == (200, 0, 995)


@pytest.mark.parametrize("asked", [{"tokens": 60}, {"client_batch": 5}])
def test_tokens_and_lists_are_for_texts(asked: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="are for models that take texts"):
        pool_for("image", None, **asked)


def test_several_texts_share_a_request_and_each_is_sent_as_often() -> None:
    sent = [json.loads(body.data) for body in pool_for("text", None, client_batch=5)]
    assert {len(together) for together in sent} == {5}
    assert Counter(text for together in sent for text in together) == dict.fromkeys(texts(), 5)
