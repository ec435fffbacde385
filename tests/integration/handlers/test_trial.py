"""Built means it serves: what a worker could not load, or not answer with, is one line and no archive."""

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.archive.archives import ArchiveError, build
from handlers.archive.sources import CheckpointError
from tests.support.checkpoints import edit_json, tiny_bert, tiny_resnet

pytestmark = [pytest.mark.integration, pytest.mark.wide]


def a_tokenizer_that_exists_in_python_only(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")


def a_tokenizer_of_another_model(folder: Path) -> None:
    told = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = told["model"]["vocab"]
    told["model"]["vocab"] = {word: n + (5000 if n > 30 else 0) for word, n in vocabulary.items()}
    (folder / "tokenizer.json").write_text(json.dumps(told))


def test_what_serves_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own. Whatever the environment says of a server's models."""
    monkeypatch.setenv("HANDLER_PRECISION", "fp16")  # of a GPU, which this machine may not have
    assert build("image", tiny_resnet(tmp_path / "checkpoint"), tmp_path / "store").is_file()


@pytest.mark.usefixtures("forked")
def test_so_is_a_model_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDLER_PRECISION", "fp16")
    assert build("text", tiny_bert(tmp_path / "checkpoint"), tmp_path / "store").is_file()


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    "spoil", [a_tokenizer_that_exists_in_python_only, a_tokenizer_of_another_model], ids=lambda f: f.__name__
)
def test_what_would_not_is_refused_and_leaves_nothing(spoil: Any, tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "checkpoint")
    spoil(folder)
    with pytest.raises((ArchiveError, CheckpointError)) as refused:
        build("text", folder, tmp_path / "store")
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list((tmp_path / "store").iterdir()) == []
