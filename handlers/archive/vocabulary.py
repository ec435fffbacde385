"""The vocabulary of a random checkpoint's tokenizer: the same of the same corpus, always.

A trainer of the `tokenizers` library breaks ties by a hash that differs from process to process, so that what
it learns does too, and with it every answer of a model with seeded weights.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

PREFIX = "##"


def words_of(corpus: Iterable[str], normalizer: Any, pre_tokenizer: Any) -> Counter[str]:
    """How often each word of a corpus occurs, as the tokenizer's own first two steps cut it into words."""
    found: Counter[str] = Counter()
    for line in corpus:
        text = normalizer.normalize_str(line) if normalizer else line
        found.update(word for word, _ in pre_tokenizer.pre_tokenize_str(text))
    return found


def often_first(words: Counter[str]) -> list[str]:
    """The words by how often they occur, those alike by their letters."""
    return sorted(words, key=lambda word: (-words[word], word))


def word_pieces(words: Counter[str], size: int, special: Sequence[str]) -> dict[str, int]:
    """A WordPiece vocabulary of at most `size`: the special tokens, all letters, in front and within a word,
    and whole words as long as there is room. Returns the ids of the tokens."""
    letters = sorted({letter for word in words for letter in word})
    within = sorted({PREFIX + letter for word in words for letter in word[1:]})
    tokens = dict.fromkeys([*special, *letters, *within, *often_first(words)])
    return {token: number for number, token in enumerate(islice(tokens, size))}
