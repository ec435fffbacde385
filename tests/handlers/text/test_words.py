"""Token ids from a table of words, against those of the tokenizer itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig

from handlers.archive import checkpoints
from handlers.archive.archives import CORPUS
from handlers.text import words
from handlers.text.words import Words, tokenize_with

MAX_TOKENS = 12
LINES = CORPUS.read_text().splitlines()

# What a reader of words one by one might get wrong: marks that join, controls, signs with an odd case.
ODD = ["[MASK]", "[SEP]", " ", "  ", "\t", "\n", "\0", "\u0301", "\u00a0", "\u200b", "\u3000", "\ufffd"]
WORDS = ["the", "was", "Great", "Σ", "ς", "İ", "ß", "中文", "é", "don't", "!", "##s", "x" * 150, "😀"]
pieces = st.sampled_from(ODD + WORDS)
texts = st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=12).map("".join)


def bert() -> Tokenizer:
    """BERT's own kind of tokenizer, trained on the corpus of the archives."""
    tokenizer = checkpoints.tokenizer_of(LINES, BertConfig(vocab_size=600)).backend_tokenizer
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def lower_cased_first() -> Tokenizer:
    tokenizer = bert()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.BertNormalizer(lowercase=False)]
    )
    return tokenizer


def cased() -> Tokenizer:
    tokenizer = bert()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    return tokenizer


KINDS = {make.__name__: make() for make in (bert, lower_cased_first, cased)}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(batch=st.lists(texts, min_size=1, max_size=5))
def test_the_ids_are_the_tokenizers_own(kind: str, batch: list[str]) -> None:
    tokenizer = KINDS[kind]
    tokenize = tokenize_with(tokenizer, MAX_TOKENS)
    assert isinstance(tokenize, Words)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(batch)]
    assert tokenize(batch) == expected
    assert tokenize(batch) == expected  # now from the table


@pytest.mark.thorough
def test_what_it_learns_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 50)
    tokenize = Words(bert(), MAX_TOKENS)
    for number in range(100):
        tokenize([f"word{number} wood{number} " + "endless" * 1000])
        assert len(tokenize._known) <= 52
        assert max(map(len, tokenize._known)) <= words.LONGEST_WORD


def test_what_it_learns_of_one_batch_stays_small_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 50)
    tokenize = Words(bert(), MAX_TOKENS)
    tokenize([f"word{number} wood{number}" for number in range(100)])
    assert len(tokenize._known) <= 52


def test_known_words_do_not_reach_the_tokenizer() -> None:
    tokenizer = Counting(bert())
    tokenize = Words(tokenizer, MAX_TOKENS)
    tokenizer.asked.clear()
    tokenize(["a great film", "a bad film"])
    tokenize(["a great bad film", "film"])
    assert sorted(tokenizer.asked) == ["a", "bad", "film", "great"]


class Counting:
    """A tokenizer that notes what it is asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.asked: list[str] = []

    def encode(self, text: str, **options: Any) -> Any:
        self.asked.append(text)
        return self._tokenizer.encode(text, **options)


def byte_level() -> Tokenizer:
    """RoBERTa's kind: a blank belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=600, show_progress=False))
    return tokenizer


def with_a_token_of_two_words() -> Tokenizer:
    tokenizer = bert()
    tokenizer.add_tokens([AddedToken("New York")])
    return tokenizer


def cut_on_the_left() -> Tokenizer:
    tokenizer = bert()
    tokenizer.enable_truncation(MAX_TOKENS, direction="left")
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, with_a_token_of_two_words, cut_on_the_left])
def test_other_kinds_are_left_alone(make: Any) -> None:
    tokenizer = make()
    tokenize = tokenize_with(tokenizer, MAX_TOKENS)
    assert not isinstance(tokenize, Words)
    batch = ["The New York of the films was great, and so was the end of it all, I think", "a"]
    assert tokenize(batch) == [encoding.ids for encoding in tokenizer.encode_batch(batch)]
