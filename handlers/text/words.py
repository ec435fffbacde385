"""Texts -> token ids, where a word that was seen before costs a look into a table.

WordPiece tokenizers of BERT's kind cut at every blank before anything else, so a text's tokens are those of
its words, laid end to end. Looked up, a text of 15 tokens takes 2 us; the tokenizer itself takes 20 us (one
core of an AMD EPYC). Other kinds of tokenizers are left alone.
"""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

# Texts -> the ids of each, as the tokenizer itself would give them.
Tokenize = Callable[[list[str]], list[list[int]]]

MOST_WORDS = 2**16  # about 17 MB; natural language repeats far fewer
LONGEST_WORD = 64  # characters; what is longer is hardly met again, and could fill the memory

# What handles each character, or each word, without a look at its neighbours.
_NORMALIZERS = {"BertNormalizer", "Lowercase"}


def tokenize_with(tokenizer: Any, max_tokens: int) -> Tokenize:
    """The fastest way to the ids that `tokenizer`, of the package tokenizers, has for texts; it must cut them
    at `max_tokens` and pad nothing."""
    if _cuts_at_blanks(tokenizer):
        return Words(tokenizer, max_tokens)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


class Words:
    """The table. A text of which a word is missing has the tokenizer fill it in."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._before, self._after = _special(tokenizer)
        self._most = max_tokens - len(self._after)
        self._known: dict[str, Sequence[int]] = {}

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, special tokens included."""
        return [self._ids_of(text) for text in texts]

    def _ids_of(self, text: str) -> list[int]:
        """One text at a time, so that a batch of many words can't fill the memory."""
        words = text.split(" ")
        try:
            return self._whole(words)
        except KeyError:  # the first time that we see one of them
            if len(self._known) > MOST_WORDS:
                self._known.clear()  # what is still in use comes back at once
        unknown = set(words) - self._known.keys()
        for word in unknown:
            self._known[word] = self._tokenizer.encode(word, add_special_tokens=False).ids
        ids = self._whole(words)
        for word in unknown:
            if len(word) > LONGEST_WORD:
                del self._known[word]
        return ids

    def _whole(self, words: Sequence[str]) -> list[int]:
        ids = [*self._before, *chain.from_iterable(map(self._known.__getitem__, words))]
        del ids[self._most :]
        return ids + self._after


def _special(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after those of every text."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    before = whole.index(bare[0])
    return whole[:before], whole[before + len(bare) :]


def _cuts_at_blanks(tokenizer: Any) -> bool:
    """Is what it makes of a text what it makes of each word between two blanks?"""
    told = json.loads(tokenizer.to_str())
    normalizer, splitter = told["normalizer"] or {}, told["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    truncation = told["truncation"] or {}
    return (
        told["model"].get("type") == "WordPiece"
        and splitter.get("type") == "BertPreTokenizer"
        and all(step.get("type") in _NORMALIZERS for step in steps)
        and truncation.get("direction", "Right") == "Right"
        and not any(" " in token["content"] for token in told["added_tokens"])
    )
