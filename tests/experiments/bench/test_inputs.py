"""The pools of inputs that trials draw from."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer

from experiments.base.errors import UsageError
from experiments.bench import pool_for
from experiments.bench.inputs import TEXT_WORDS, photographs, texts, texts_of_tokens
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert


def test_texts_differ_and_come_in_every_length() -> None:
    assert {len(text.split()) for text in texts()} == set(TEXT_WORDS)
    assert len(set(texts())) == len(texts())


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


@pytest.mark.parametrize("asked", [{"tokens": 60}, {"client_batch": 5}])
def test_tokens_and_lists_are_for_texts(asked: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="are for models that take texts"):
        pool_for("image", None, **asked)


def test_several_texts_share_a_request_and_each_is_sent_as_often() -> None:
    sent = [json.loads(body.data) for body in pool_for("text", None, client_batch=5)]
    assert {len(together) for together in sent} == {5}
    assert Counter(text for together in sent for text in together) == dict.fromkeys(texts(), 5)
